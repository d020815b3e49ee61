"""Sound learns who listens to it: a user, a track they took, N that they did not."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, IntArray, RaggedArray
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.data.sampling import Negatives
from palate.modules.users import HistoryUserEncoder, RelevanceNetwork

from ._inputs import ItemInputs
from ._items import ItemPretrainer

if TYPE_CHECKING:
    from palate.data.views import TrainView

AT_ONCE = 16


class Listening(ItemPretrainer):
    """Subclasses say how relevant a track is to a user and what a positive's relevance is compared with.

    Negatives are drawn uniformly from tracks that the user did not take (the paper's are disliked). Users are read
    from what else they took, without demographics. Any one modality may stand in for sound.

    Attributes:
        people: users and the track they are asked about -> vectors [B, width].
        relevance: vectors of users [B, width] and tracks [B, n, width] -> [B, n].
    """

    relevance: nn.Module

    class Config(ItemPretrainer.Config):
        """Settings.

        Attributes:
            modality: the one to learn from. negatives: N.
        """

        modality: Literal["audio", "image", "text"] = "audio"
        negatives: int = Field(4, ge=1)

    config: Config

    @abstractmethod
    def compare(self, pos: Tensor, neg: Tensor) -> Tensor:
        """The loss of relevances [B] of tracks that were taken and [B, N] of tracks that were not."""

    def listeners(self, history: RaggedArray, n_items: int) -> nn.Module:
        """What makes vectors of users."""
        return HistoryUserEncoder(history, n_items, self.config.dim, self.config.width)

    def wanted(self, inputs: ItemInputs) -> tuple[str, ...]:
        return (self.config.modality,) if self.config.modality in inputs else ()

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        seen = self.held.positives(train)
        history = RaggedArray.build(train.users[seen], train.items[seen], train.n_users)
        self.people = self.listeners(history, train.n_items)
        self.negatives = Negatives(train.n_items, (train.history.indptr, train.history.items), self.held.trained)
        self.rng = rng_for(train.seed, "negatives", self.name)

    def examples(self, view: TrainView) -> IntArray:
        """(user, track)."""
        useful = np.isin(view.items, self.held.trained) & ~self.negatives.exhausted[view.users]
        if not useful.any():
            raise ConfigError(f"{self.name} needs people who did not take every track", key="model")
        return np.stack([view.users[useful], view.items[useful]], axis=1)

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.rng = rng.spawn(1)[0]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        users, tracks = batch.rows.T
        drawn = torch.from_numpy(self.negatives.draw(users.cpu().numpy(), self.config.negatives, self.rng))
        both = torch.cat([tracks[:, None], drawn.to(tracks.device)], dim=1)
        # a track that several listeners share is encoded once
        rows, place = both.unique(return_inverse=True)
        scores = self.relevance(self.people(users, tracks), self.encode(rows)[place])
        return {"loss": self.compare(scores[:, 0], scores[:, 1:])}

    def affinity(self, users: IntArray, tracks: Tensor) -> Tensor:
        """Relevance float32 [U, n] of tracks given as vectors [n, width], to users given as rows."""
        parts = torch.from_numpy(users).to(tracks.device).split(AT_ONCE)
        with torch.inference_mode():
            found = [self.relevance(self.people(part), tracks.expand(len(part), -1, -1)) for part in parts]
        return torch.cat(found)

    def validation_score(self) -> float:
        """AUC over users of the kept tracks."""
        if not len(self.held.users):
            return 0.0
        return self.held.auc(self.affinity(self.held.users, self.encode_all(self.held.kept)))


class LearntRelevance(Listening):
    """Relevance is a net on both vectors, and the length of a track's vector is part of what is learnt."""

    @property
    def unit(self) -> bool:
        return False

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        self.relevance = RelevanceNetwork(self.config.width)
