"""Examples: rows of items that a pretrainer chose."""

from __future__ import annotations

import numpy as np
import torch

from palate.batches.registry import batch_kinds
from palate.core.batch import ExampleBatch, IntArray


@batch_kinds.register("examples")
class ExampleBatches:
    """One row an example.

    Args:
        rows: int64 [n, m], the items of each example.
    """

    sequential = True

    def __init__(self, rows: IntArray) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def collate(self, rows: IntArray, rng: np.random.Generator) -> ExampleBatch:
        """Examples.

        Args:
            rows: int64 [B], which.
            rng: unused.
        """
        return ExampleBatch(torch.from_numpy(np.ascontiguousarray(self.rows[rows])))
