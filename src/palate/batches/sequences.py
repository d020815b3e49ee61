"""Sequences: histories in time order with a target and negatives at every position."""

from __future__ import annotations

import numpy as np
import torch

from palate.batches.registry import batch_kinds
from palate.core.batch import IntArray, RaggedArray, SequenceBatch
from palate.core.errors import DataError
from palate.data.sampling import Negatives
from palate.data.views import TrainView


@batch_kinds.register("sequences")
class SequenceBatches:
    """One row a history of at least two items; of a longer one its newest ``longest + 1`` items.

    Position ``t`` holds item ``t`` and asks for item ``t + 1``. Negatives are drawn for every position, uniformly among
    warm items that the user never took (SASRec's scheme; ``shared`` draws one set for the whole batch, as sampled
    softmax does, which then may hold positives of some users).

    Args:
        view: holds the positives, with times.
        longest: positions of a history.
        negatives: drawn for each position, or for the batch if ``shared``.
        shared: draw one set of negatives for the whole batch, [n] repeated over positions.

    Raises:
        DataError: when no user has two training positives.
    """

    sequential = False

    def __init__(self, view: TrainView, longest: int = 50, negatives: int = 1, shared: bool = False) -> None:
        self.history: RaggedArray = view.history
        self.rows = np.flatnonzero(self.history.lengths >= 2)
        if not len(self.rows):
            raise DataError("no user has two training positives", hint="a sequence model needs histories")
        self.longest, self.count, self.shared = longest, negatives, shared
        self.warm = np.flatnonzero(view.warm_items)
        self.negatives = Negatives(view.n_items, (self.history.indptr, self.history.items), self.warm)

    def __len__(self) -> int:
        return len(self.rows)

    def collate(self, rows: IntArray, rng: np.random.Generator) -> SequenceBatch:
        """Packed histories.

        Args:
            rows: int64 [B], rows of this source.
            rng: draws the negatives.
        """
        users = self.rows[rows]
        stop = self.history.indptr[users + 1]
        start = np.maximum(self.history.indptr[users], stop - self.longest - 1)
        lengths = stop - start - 1
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], lengths)
        owners = np.repeat(users, lengths)
        if self.shared:
            one = self.warm[rng.integers(len(self.warm), size=self.count)]
            drawn = np.broadcast_to(one, (len(at), self.count))
        else:
            drawn = self.negatives.draw(owners, self.count, rng) if self.count else np.zeros((len(at), 0), np.int64)
        times = None if self.history.times is None else torch.from_numpy(self.history.times[at])
        events = getattr(self.history, "events", None)
        return SequenceBatch(
            torch.from_numpy(users),
            torch.from_numpy(indptr),
            torch.from_numpy(self.history.items[at]),
            torch.from_numpy(self.history.items[at + 1]),
            torch.from_numpy(np.ascontiguousarray(drawn)),
            times,
            None if events is None else torch.from_numpy(events[at]),
        )
