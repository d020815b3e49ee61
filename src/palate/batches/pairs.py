"""Pairs: a user, an item the user took, and items the user did not take."""

from __future__ import annotations

import numpy as np
import torch

from palate.batches.registry import batch_kinds
from palate.core.batch import IntArray, PairBatch
from palate.data.sampling import Negatives
from palate.data.views import TrainView


@batch_kinds.register("pairs")
class PairBatches:
    """One row a training positive; negatives are drawn uniformly among warm items that the user did not take.

    Args:
        view: holds the positives.
        negatives: drawn for each positive.
    """

    sequential = True

    def __init__(self, view: TrainView, negatives: int = 1) -> None:
        self.users, self.items, self.count = view.users, view.items, negatives
        # an item that nobody took may have been on no page: that nobody chose it says nothing
        allowed = None if view.warm_items.all() else np.flatnonzero(view.warm_items)
        self.negatives = Negatives(view.n_items, (view.history.indptr, view.history.items), allowed)

    def __len__(self) -> int:
        return len(self.users)

    def collate(self, rows: IntArray, rng: np.random.Generator) -> PairBatch:
        """Pairs with their negatives.

        Args:
            rows: int64 [B], training positives.
            rng: draws the negatives.
        """
        users, items = self.users[rows], self.items[rows]
        drawn = self.negatives.draw(users, self.count, rng) if self.count else np.zeros((len(rows), 0), np.int64)
        u, i, n = (torch.from_numpy(np.ascontiguousarray(array)) for array in (users, items, drawn))
        return PairBatch(u, i, n)
