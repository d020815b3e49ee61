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

    @property
    def can_score(self) -> bool:
        return self.base.can_score

    def topk(
        self,
        users: UserBatch,
        k: int,
        exclude: RaggedArray | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        if self.can_score:
            return super().topk(users, k, exclude, allowed)
        # an item that the base does not know is not in its lists
        return self.base.topk(
            self._older(users),
            k,
            None if exclude is None else _below(exclude, self.base.n_items),
            None if allowed is None else allowed[: self.base.n_items],
        )

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
        history = _below(users.history, self.base.n_items)
        return users if history is users.history else UserBatch(users.rows, history, users.attributes)

    def scorable(self) -> NDArray[np.bool_]:
        return np.concatenate([self.base.scorable(), np.zeros(self.n_items - self.base.n_items, bool)])


def _below(lists: RaggedArray, n_items: int) -> RaggedArray:
    """``lists`` without rows from ``n_items`` on."""
    keep = lists.items < n_items
    if keep.all():
        return lists
    times = None if lists.times is None else lists.times[keep]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(lists.owners()[keep], minlength=len(lists)))])
    return RaggedArray(indptr.astype(np.int64), lists.items[keep], times)
