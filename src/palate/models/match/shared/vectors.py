"""Matchers that score by a dot product; the final vectors are kept once training is over."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from palate.batches.pairs import PairBatches
from palate.contracts import InputSpec
from palate.core.batch import BatchSource, RaggedArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.models.base import Recommender
from palate.ranking.scorer import Scorer, VectorScorer, mean_of

if TYPE_CHECKING:
    from palate.data.views import TrainView


class VectorMatcher(Recommender):
    """A matcher that scores with user . item. Subclasses give :meth:`vectors`.

    After training the final vectors are buffers, so a saved run needs no graph. For a model that reads content see
    :class:`palate.models.match.shared.content_matcher.ContentMatcher`.

    Attributes:
        negatives: items drawn for each training positive.
        user_parameters: parameters whose first ``n_users`` rows belong to users.
        training_only: tensors that scoring does not read once the final vectors exist, as ``fnmatch`` patterns.
        known: bool [n_items], items that can be scored.
        final_users: float32 [n_users, d], None before the end of training.
        final_items: float32 [n_items, d], None before the end of training.
    """

    exports = ("vectors", "onnx", "lists")

    negatives: ClassVar[int] = 1
    user_parameters: ClassVar[tuple[str, ...]] = ()
    training_only: ClassVar[tuple[str, ...]] = ()

    config: TrainedConfig
    known: Tensor
    final_users: Tensor | None
    final_items: Tensor | None

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.register_buffer("final_users", None)
        self.register_buffer("final_items", None)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.register_buffer("known", torch.from_numpy(train.warm_items))

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Training positives with ``negatives`` draws each.

        Args:
            train: holds the positives.
            run: not read.
        """
        return PairBatches(train, self.negatives)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Vectors from the present weights.

        Returns:
            Users [n_users, d] and items [n_items, d].

        Raises:
            UnsupportedError: for a subclass that does not override it.
        """
        raise UnsupportedError(f"{self.name} has no vectors: override vectors()")

    def fold_in(self, items: Tensor, history: RaggedArray) -> Tensor:
        """Vectors of users that training did not see.

        Args:
            items: float32 [n_items, d], final item vectors.
            history: items that each of B users took.

        Returns:
            float32 [B, d]; by default the mean of the items.
        """
        return mean_of(items, history)

    def on_fit_end(self) -> None:
        with torch.no_grad():
            users, items = self.vectors()
        self.final_users, self.final_items = users.detach().cpu().clone(), items.detach().cpu().clone()

    def user_tensors(self) -> dict[str, slice]:
        n_users = self.input_spec.n_users if self.input_spec else 0
        return dict.fromkeys(("final_users", *self.user_parameters), slice(0, n_users))

    def training_tensors(self) -> set[str]:
        patterns = self.training_only
        return {name for name in self.state_dict() if any(fnmatchcase(name, pattern) for pattern in patterns)}

    def scorer(self) -> Scorer:
        users, items = self.final_users, self.final_items
        if users is None or items is None:
            with torch.no_grad():
                users, items = (part.detach() for part in self.vectors())
        vectors = items
        return VectorScorer(users, items, lambda history: self.fold_in(vectors, history), self.known.cpu().numpy())
