"""A scorer that cannot score items added later, among those that can."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import IntArray, RaggedArray, UserBatch
from .scorer import Scorer


class PaddedScorer(Scorer):
    """``base`` over ``n_items`` rows, of which it knows the first ones; the others are not scorable."""

    def __init__(self, base: Scorer, n_items: int) -> None:
        super().__init__(n_items)
        self.base = base

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        vectors = torch.nn.functional.pad(self.base.item_vectors(), (0, 0, 0, self.n_items - self.base.n_items))
        return vectors if items is None else vectors[torch.as_tensor(items)]

    def user_vectors(self, users: UserBatch) -> Tensor:
        return self.base.user_vectors(self._older(users))

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        scores = torch.nn.functional.pad(self.base.score(self._older(users)), (0, self.n_items - self.base.n_items))
        return scores if items is None else scores[:, torch.as_tensor(items)]

    def _older(self, users: UserBatch) -> UserBatch:
        """Histories without items that ``base`` does not know."""
        history = users.history
        keep = history.items < self.base.n_items
        if keep.all():
            return users
        times = None if history.times is None else history.times[keep]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(history.owners()[keep], minlength=len(history)))])
        return UserBatch(users.rows, RaggedArray(indptr.astype(np.int64), history.items[keep], times), users.attributes)

    def scorable(self) -> NDArray[np.bool_]:
        return np.concatenate([self.base.scorable(), np.zeros(self.n_items - self.base.n_items, bool)])
