"""Tables of which only some columns are computed again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MERGED = 8
"""New columns are copied into the table once they are more than its width divided by this."""

Rows = NDArray[np.int64]


def worth_patching(rows: Rows, size: int) -> bool:
    """Whether computing only these columns again is cheaper than the whole table.

    Args:
        rows: int64 [p], columns that changed.
        size: number of columns.
    """
    return 2 * len(rows) <= size


@dataclass(frozen=True)
class Columns:
    """A table [w, size] that shares what did not change with the one it was made from; nothing is written in place.

    Attributes:
        base: [w, n].
        rows: int64 [p], ascending: columns that are not in ``base``, or that replace those in it.
        fresh: [w, p], these columns.
        size: number of columns.
    """

    base: Tensor
    rows: Rows
    fresh: Tensor
    size: int

    @classmethod
    def of(cls, table: Tensor) -> Columns:
        """The columns of a table, which is not copied.

        Args:
            table: [w, size].
        """
        return cls(table, np.zeros(0, np.int64), table[:, :0], table.shape[1])

    def replaced(self, rows: Rows, columns: Tensor, size: int) -> Columns:
        """The table with some columns replaced or added.

        O(w p) for p columns since the table was last merged; O(w size) once in a while.

        Args:
            rows: int64 [m], ascending: the columns that change.
            columns: [w, m], their values.
            size: number of columns of the result.
        """
        kept = (self.rows < size) & ~np.isin(self.rows, rows)
        joined = np.concatenate([self.rows[kept], rows])
        order = np.argsort(joined, kind="stable")
        fresh = torch.cat([self.fresh[:, torch.from_numpy(kept)], columns], 1)[:, torch.from_numpy(order)]
        replaced = Columns(self.base[:, :size], joined[order], fresh, size)
        return Columns.of(replaced.dense()) if MERGED * len(joined) > self.base.shape[1] else replaced

    def dense(self) -> Tensor:
        """The table [w, size], a copy where columns were replaced."""
        return self._merged(self.base, self.fresh) if len(self.rows) or self.base.shape[1] < self.size else self.base

    def times(self, left: Tensor) -> Tensor:
        """``left`` @ table, [B, size].

        Args:
            left: [B, w].
        """
        out = left @ self.base
        return self._merged(out, left @ self.fresh) if len(self.rows) or out.shape[1] < self.size else out

    def take(self, items: Tensor) -> Tensor:
        """Some columns, [w, len(items)].

        Args:
            items: int64 [b].
        """
        width = self.base.shape[1]
        out = self.base[:, items.clamp(max=max(width - 1, 0))] if width else self.base.new_zeros(len(self.base), 1)
        place = torch.full((self.size,), -1)
        place[torch.from_numpy(self.rows)] = torch.arange(len(self.rows))
        at = place[items]
        out[:, at >= 0] = self.fresh[:, at[at >= 0]]
        return out

    def _merged(self, base: Tensor, fresh: Tensor) -> Tensor:
        out = torch.empty(len(base), self.size, dtype=base.dtype)
        out[:, : base.shape[1]] = base
        out[:, torch.from_numpy(self.rows)] = fresh
        return out
