"""What changed between two contents of a catalogue, and tables of which only some columns are made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features

CHUNK = 1024
MERGED = 8
"""Fresh columns are laid into the table once they are more than its width by this."""

Places = NDArray[np.int64]
Compared = WeakKeyDictionary[Features, tuple[ref[Features], Places]]
# the parts of a blend are handed the same features one after another
_compared: Compared = WeakKeyDictionary()


def changed_rows(old: Mapping[str, Features], new: Mapping[str, Features]) -> Places | None:
    """Rows of ``new`` that are not as they were in ``old``, ascending; None where everything may have changed.

    Everything has where a feature appears, vanishes or is of another make. O(values), O(rows) where arrays are shared.
    """
    if not new or list(old) != list(new):
        return None
    before, after = ({len(found) for found in content.values()} for content in (old, new))
    if len(before) > 1 or len(after) > 1 or not all(_alike(old[name], new[name]) for name in new):
        return None
    size, known = after.pop(), before.pop()
    changed = np.arange(size) >= known
    for name, found in new.items():
        changed[_differing(old[name], found)] = True
    return np.flatnonzero(changed)


def few(rows: Places | None, size: int) -> bool:
    """Whether it is worth while to make only these of ``size`` columns anew."""
    return rows is not None and 2 * len(rows) <= size


def _alike(a: Features, b: Features) -> bool:
    return (
        (a.kind, a.identity, a.fitted_on, a.values.dtype) == (b.kind, b.identity, b.fitted_on, b.values.dtype)
        and a.kind == "pooled"
        and a.values.shape[1:] == b.values.shape[1:]
    )


def _differing(old: Features, new: Features) -> Places:
    """Rows that both have and that differ."""
    if old is new:
        return np.zeros(0, np.int64)
    memo = _compared.get(new)
    if memo is not None and memo[0]() is old:
        return memo[1]
    size = min(len(old), len(new))
    differs = old.present[:size] != new.present[:size]
    if not _same_memory(old.values, new.values):
        for start in range(0, size, CHUNK):
            rows = slice(start, min(start + CHUNK, size))
            unequal = old.values[rows] != new.values[rows]
            # most chunks are as they were
            if unequal.any():
                differs[rows] |= unequal.reshape(len(unequal), -1).any(1)
    found = np.flatnonzero(differs)
    _compared[new] = (ref(old), found)
    return found


def _same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether both begin at the same place and step alike, so that the rows both have are the same."""
    return a.__array_interface__["data"][0] == b.__array_interface__["data"][0] and a.strides == b.strides


@dataclass(frozen=True)
class Columns:
    """A table [w, size] that shares what did not change with the one it was made from; nothing is written in place.

    Attributes:
        base: [w, n]. rows: int64 [p], ascending: columns that are not in ``base`` or stand for those there. fresh:
            [w, p], these columns. size: number of columns.
    """

    base: Tensor
    rows: Places
    fresh: Tensor
    size: int

    @classmethod
    def of(cls, table: Tensor) -> Columns:
        """All of ``table``, which is not copied."""
        return cls(table, np.zeros(0, np.int64), table[:, :0], table.shape[1])

    def replaced(self, rows: Places, columns: Tensor, size: int) -> Columns:
        """``size`` columns of which ``rows``, ascending, are ``columns`` and the others as they are.

        O(w p) for p columns since the table was last laid out whole; O(w size) once in a while.
        """
        kept = (self.rows < size) & ~np.isin(self.rows, rows)
        joined = np.concatenate([self.rows[kept], rows])
        order = np.argsort(joined, kind="stable")
        fresh = torch.cat([self.fresh[:, torch.from_numpy(kept)], columns], 1)[:, torch.from_numpy(order)]
        made = Columns(self.base[:, :size], joined[order], fresh, size)
        return Columns.of(made.whole()) if MERGED * len(joined) > self.base.shape[1] else made

    def whole(self) -> Tensor:
        """[w, size], a copy where columns are fresh."""
        return self._laid(self.base, self.fresh) if len(self.rows) or self.base.shape[1] < self.size else self.base

    def times(self, left: Tensor) -> Tensor:
        """``left`` [B, w] @ table, [B, size]."""
        found = left @ self.base
        return self._laid(found, left @ self.fresh) if len(self.rows) or found.shape[1] < self.size else found

    def take(self, items: Tensor) -> Tensor:
        """Columns ``items``, [w, len(items)]."""
        width = self.base.shape[1]
        out = self.base[:, items.clamp(max=max(width - 1, 0))] if width else self.base.new_zeros(len(self.base), 1)
        place = torch.full((self.size,), -1)
        place[torch.from_numpy(self.rows)] = torch.arange(len(self.rows))
        at = place[items]
        out[:, at >= 0] = self.fresh[:, at[at >= 0]]
        return out

    def _laid(self, base: Tensor, fresh: Tensor) -> Tensor:
        out = torch.empty(len(base), self.size, dtype=base.dtype)
        out[:, : base.shape[1]] = base
        out[:, torch.from_numpy(self.rows)] = fresh
        return out
