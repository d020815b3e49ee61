"""What all matchers with a dot-product score share: final vectors, kept once training is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from palate.core.batch import Lists
from palate.core.errors import AbilityError
from palate.core.model import Matcher
from palate.core.scorer import Scorer, VectorScorer, mean_of

if TYPE_CHECKING:
    from palate.data.views import TrainView


class VectorMatcher(Matcher):
    """A matcher that scores with user . item. Subclasses give :meth:`vectors`.

    After training the final vectors are buffers, so a saved run needs no graph.
    """

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        self.register_buffer("known", torch.from_numpy(train.warm_items))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """(users [n_users, d], items [n_items, d]) from the present weights."""
        raise AbilityError(f"{self.name} has no vectors")

    def fold_in(self, items: Tensor, history: Lists) -> Tensor:
        """A visitor's vector [B, d] from a history; ``items`` are the final item vectors."""
        return mean_of(items, history)

    def derive(self) -> None:
        """Make what is kept of content between steps; called again whenever dropout takes other parts of it away."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        dropout: float = getattr(self.config, "modality_dropout", 0.0)
        if dropout and self.shape is not None and "final_users" not in self._buffers:
            self.derive()
        return self

    def finish(self) -> None:
        with torch.no_grad():
            users, items = self.vectors()
        self.register_buffer("final_users", users.detach().cpu().clone())
        self.register_buffer("final_items", items.detach().cpu().clone())

    def scorer(self) -> Scorer:
        if "final_users" in self._buffers:
            users, items = self.get_buffer("final_users"), self.get_buffer("final_items")
        else:
            with torch.no_grad():
                users, items = (part.detach() for part in self.vectors())
        known = self.get_buffer("known").cpu().numpy()
        return VectorScorer(users, items, lambda history: self.fold_in(items, history), known)
