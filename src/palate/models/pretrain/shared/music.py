"""Audio encoders learnt from listening: a user, a track they took, and N tracks they did not take."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, IntArray, RaggedArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.data.sampling import Negatives
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.items import ItemPretrainer
from palate.modules.users import HistoryUserEncoder, RelevanceNetwork

if TYPE_CHECKING:
    from palate.data.views import TrainView

USER_CHUNK = 16


class MusicPretrainer(ItemPretrainer):
    """Learn track encoders from who listens; subclasses choose the relevance of a track and the loss.

    Negatives are drawn uniformly from tracks that the user did not take (the paper's are disliked). Users are encoded
    from the other tracks of their history, without demographics. Any one modality may stand in for sound.

    Attributes:
        people: encoder of users, given the track that is scored -> vectors [B, width].
        relevance: vectors of users [B, width] and tracks [B, n, width] -> scores [B, n].
    """

    relevance: nn.Module

    class Config(ItemPretrainer.Config):
        """Settings of learning from listening."""

        modality: Literal["audio", "image", "text"] = Field("audio", description="modality to learn from")
        negatives: int = Field(4, ge=1, description="negatives of each positive, N")

    config: Config

    @abstractmethod
    def ranking_loss(self, pos: Tensor, neg: Tensor) -> Tensor:
        """Loss of the relevance of positives [B] and of their negatives [B, N]."""

    def user_encoder(self, history: RaggedArray, n_items: int) -> nn.Module:
        """Module that encodes users, from their histories by default."""
        return HistoryUserEncoder(history, n_items, self.config.dim, self.config.width)

    def select_modalities(self, inputs: ItemInputs) -> tuple[str, ...]:
        return (self.config.modality,) if self.config.modality in inputs else ()

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        mask = self.held_out.training_mask(train)
        history = RaggedArray.build(train.users[mask], train.items[mask], train.n_users)
        self.people = self.user_encoder(history, train.n_items)
        taken = (train.history.indptr, train.history.items)
        self.negatives = Negatives(train.n_items, taken, self.held_out.train_items)
        self.rng = rng_for(run.seed, "negatives", self.name)

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """Positives of the training items.

        Args:
            view: training view.
            run: seed of what is drawn.

        Returns:
            (user, track) int64 [n, 2].

        Raises:
            ConfigError: if every user took every track, so that there are no negatives.
        """
        mask = np.isin(view.items, self.held_out.train_items) & ~self.negatives.exhausted[view.users]
        if not mask.any():
            raise ConfigError(f"{self.name} needs users who did not take every track", key="model")
        return np.stack([view.users[mask], view.items[mask]], axis=1)

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.rng = rng.spawn(1)[0]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        users, tracks = batch.rows.T
        drawn = torch.from_numpy(self.negatives.draw(users.cpu().numpy(), self.config.negatives, self.rng))
        candidates = torch.cat([tracks[:, None], drawn.to(tracks.device)], dim=1)
        # a track that several users share is encoded once
        rows, place = candidates.unique(return_inverse=True)
        scores = self.relevance(self.people(users, tracks), self.encode(rows)[place])
        return {"loss": self.ranking_loss(scores[:, 0], scores[:, 1:])}

    def affinity(self, users: IntArray, tracks: Tensor) -> Tensor:
        """Relevance of tracks to users.

        Args:
            users: int64 [U], rows of users.
            tracks: float32 [n, width], vectors of tracks.

        Returns:
            float32 [U, n].
        """
        parts = torch.from_numpy(users).to(tracks.device).split(USER_CHUNK)
        with torch.inference_mode():
            scores = [self.relevance(self.people(part), tracks.expand(len(part), -1, -1)) for part in parts]
        return torch.cat(scores)

    def validation_score(self) -> float:
        """AUC over users of the held-out tracks."""
        if not len(self.held_out.users):
            return 0.0
        return self.held_out.auc(self.affinity(self.held_out.users, self.encode_all(self.held_out.eval_items)))


class LearntRelevance(MusicPretrainer):
    """Relevance is a network on both vectors, and the length of a track's vector is learnt too."""

    @property
    def normalize(self) -> bool:
        return False

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.relevance = RelevanceNetwork(self.config.width)
