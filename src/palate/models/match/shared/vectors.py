"""What all matchers with a dot-product score share: final vectors, kept once training is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase as fnmatch
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from palate.batches.pairs import PairBatches
from palate.contracts import Phase
from palate.core.batch import BatchSource, PairBatch, RaggedArray
from palate.core.config import AdaptedConfig, TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.features.adapted import Source
from palate.features.item_content import ItemContent
from palate.models.base import Recommender
from palate.ranking.scorer import Scorer, VectorScorer, mean_of

if TYPE_CHECKING:
    from palate.data.views import TrainView


class VectorMatcher(Recommender):
    """A matcher that scores with user . item. Subclasses give :meth:`vectors`.

    After training the final vectors are buffers, so a saved run needs no graph.

    Class attributes:
        user_parameters: parameters whose first ``n_users`` rows belong to users.
        training_only: tensors that scoring does not read once the final vectors exist, as ``fnmatch`` patterns.
    """

    negatives: ClassVar[int] = 1
    content: ItemContent
    config: TrainedConfig
    user_parameters: ClassVar[tuple[str, ...]] = ()
    training_only: ClassVar[tuple[str, ...]] = ()

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Training positives with ``negatives`` draws each."""
        return PairBatches(train, self.negatives)

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        self.register_buffer("known", torch.from_numpy(train.warm_items))

    def attach_encoders(self, source: Source) -> None:
        if not isinstance(getattr(self, "content", None), ItemContent):
            super().attach_encoders(source)
        self.content.attach_encoders(source, _adapted(self).encode_rows)

    def phases(self) -> list[Phase]:
        found, content = super().phases(), getattr(self, "content", None)
        if not isinstance(content, ItemContent) or content.network is None:
            return found
        slow = content.network.pretrained()
        return [
            replace(
                phase,
                loss=partial(_attending, content, phase.loss),
                groups=phase.slowed(slow, _adapted(self).pretrained_lr),
            )
            for phase in found
        ]

    def vectors(self) -> tuple[Tensor, Tensor]:
        """(users [n_users, d], items [n_items, d]) from the present weights."""
        raise UnsupportedError(f"{self.name} has no vectors")

    def fold_in(self, items: Tensor, history: RaggedArray) -> Tensor:
        """A visitor's vector [B, d] from a history; ``items`` are the final item vectors."""
        return mean_of(items, history)

    def derive(self) -> None:
        """Make what is kept of content between steps; called again whenever dropout takes other parts of it away."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        dropout: float = getattr(self.config, "modality_dropout", 0.0)
        if dropout and self.input_spec is not None and "final_users" not in self._buffers:
            self.derive()
        return self

    def on_fit_end(self) -> None:
        with torch.no_grad():
            users, items = self.vectors()
        self.register_buffer("final_users", users.detach().cpu().clone())
        self.register_buffer("final_items", items.detach().cpu().clone())
        if isinstance(getattr(self, "content", None), ItemContent):
            self.content.freeze()

    def user_tensors(self) -> dict[str, slice]:
        n_users = self.input_spec.n_users if self.input_spec else 0
        return dict.fromkeys(("final_users", *self.user_parameters), slice(0, n_users))

    def training_tensors(self) -> set[str]:
        patterns = self.training_only
        return {name for name in self.state_dict() if any(fnmatch(name, pattern) for pattern in patterns)}

    def scorer(self) -> Scorer:
        if "final_users" in self._buffers:
            users, items = self.get_buffer("final_users"), self.get_buffer("final_items")
        else:
            with torch.no_grad():
                users, items = (part.detach() for part in self.vectors())
        known = self.get_buffer("known").cpu().numpy()
        return VectorScorer(users, items, lambda history: self.fold_in(items, history), known)


def _adapted(model: VectorMatcher) -> AdaptedConfig:
    if not isinstance(model.config, AdaptedConfig):
        raise UnsupportedError(f"{model.name} reads content, but its Config does not extend AdaptedConfig")
    return model.config


def _attending(
    content: ItemContent, loss: Callable[[PairBatch], Mapping[str, Tensor]], batch: PairBatch
) -> Mapping[str, Tensor]:
    """``loss`` of a batch whose items' content is encoded with gradients."""
    content.attend(torch.cat([batch.items, batch.negatives.flatten()]))
    return loss(batch)
