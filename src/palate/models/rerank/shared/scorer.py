"""Scorer of a reranker: it lists, and gives no scores of arbitrary items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.ranking.candidates import empty_lists
from palate.ranking.scorer import Scorer

NUMBERS = 1 << 23
"""Numbers of candidates at once (32 MiB)."""


class Reorders(Protocol):
    """Gives lists a new order."""

    def reorder(
        self,
        ids: IntArray,
        scores: NDArray[np.float32],
        k: int,
        users: UserBatch | None,
        item_vectors: NDArray[np.float32] | None,
    ) -> IntArray:
        """Positions in ``ids``: int64 [lists, k or fewer]."""
        ...


class RerankScorer(Scorer):
    """Lists of the first stage in their new order.

    Args:
        model: a fitted reranker.
        name: of the first stage.
        first: scorer of the first stage.
        depth: candidates of a list at least.
        item_vectors: float32 [n_items, d]; None if items are not compared.
        width: numbers that the model holds of a candidate.
    """

    def __init__(
        self,
        model: Reorders,
        name: str,
        first: Scorer,
        depth: int,
        item_vectors: NDArray[np.float32] | None,
        width: int,
    ) -> None:
        super().__init__(first.n_items)
        self.model, self.name, self.first, self.depth, self.width = model, name, first, depth, max(width, 64)
        self.vectors = item_vectors

    @property
    def can_score(self) -> bool:
        """No: the order of a list depends on what else is in it."""
        return False

    def members(self) -> Mapping[str, Scorer]:
        return {self.name: self.first}

    def scorable(self) -> NDArray[np.bool_]:
        return self.first.scorable()

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """New lists; scores are those of the first stage."""
        depth = max(k, self.depth)
        chunk = max(1, min(256, NUMBERS // (min(depth, self.n_items) * self.width)))
        ids, scores = empty_lists(len(users), k)
        for start in range(0, len(users), chunk):
            rows = np.arange(start, min(start + chunk, len(users)))
            batch, out = users.take(rows), None if exclude is None else exclude.take(rows)
            found, values = self.first.topk(batch, depth, out, allowed)
            order = self.model.reorder(found, values, k, batch, self.vectors)[:, :k]
            some, place = np.maximum(order, 0), slice(0, order.shape[1])
            ids[rows, place] = np.where(order >= 0, np.take_along_axis(found, some, 1), -1)
            scores[rows, place] = np.where(order >= 0, np.take_along_axis(values, some, 1), -np.inf)
        return ids, scores
