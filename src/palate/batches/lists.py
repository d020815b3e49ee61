"""Ranked lists: candidates of a first stage, and which of them were taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.batches.registry import batch_kinds
from palate.core.batch import Batch, IntArray


@dataclass(frozen=True, eq=False)
class ListBatch(Batch):
    """Lists of candidates, best first.

    Attributes:
        items: int64 [B, n], item rows; 0 at places without a candidate.
        known: bool [B, n], False at places without a candidate.
        scores: float32 [B, n], of the first stage.
        taste: float32 [B, d], a vector of each list's user.
        labels: float32 [B, n], 1 where the item was taken.
    """

    items: Tensor
    known: Tensor
    scores: Tensor
    taste: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: Tensor) -> ListBatch:
        """Some lists."""
        return ListBatch(*(part[index] for part in (self.items, self.known, self.scores, self.taste, self.labels)))


@batch_kinds.register("lists")
class ListBatches:
    """One row a list.

    Args:
        items: int64 [lists, n], item rows; 0 at places without a candidate.
        known: bool [lists, n].
        scores: float32 [lists, n].
        taste: float32 [lists, d].
        labels: float32 [lists, n].
    """

    sequential = True

    def __init__(
        self,
        items: IntArray,
        known: NDArray[np.bool_],
        scores: NDArray[np.float32],
        taste: NDArray[np.float32],
        labels: NDArray[np.float32],
    ) -> None:
        self.parts = items, known, scores, taste, labels

    def __len__(self) -> int:
        return len(self.parts[0])

    def collate(self, rows: IntArray, rng: np.random.Generator) -> ListBatch:
        """Lists.

        Args:
            rows: int64 [B], which.
            rng: unused.
        """
        return ListBatch(*(torch.from_numpy(np.ascontiguousarray(part[rows])) for part in self.parts))
