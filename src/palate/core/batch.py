"""What models are handed: users with their histories, and training batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RaggedArray:
    """Ragged integer lists in CSR form.

    Attributes:
        indptr: int64 [n + 1].
        items: int64 [indptr[-1]], each list in time order where time is known.
        times: int64, aligned with ``items``, or None.
        events: int64 codes of event types, aligned with ``items``, or None.
    """

    indptr: IntArray
    items: IntArray
    times: IntArray | None = None
    events: IntArray | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.items[self.indptr[row] : self.indptr[row + 1]]

    @property
    def lengths(self) -> IntArray:
        """int64 [n]."""
        return np.diff(self.indptr)

    @classmethod
    def build(
        cls,
        owners: IntArray,
        items: IntArray,
        n: int,
        times: IntArray | None = None,
        events: IntArray | None = None,
    ) -> RaggedArray:
        """Group ``items`` by ``owners`` (0..n-1); within a list by time where given, else by item id.

        Args:
            owners: int64 [e], the list that each entry belongs to.
            items: int64 [e].
            n: number of lists.
            times: int64 [e] or None.
            events: int64 [e] codes of event types, or None.
        """
        order = np.lexsort((items, owners)) if times is None else np.lexsort((items, times, owners))
        indptr = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=n), out=indptr[1:])
        items = np.ascontiguousarray(items[order], dtype=np.int64)
        return cls(indptr, items, _gather(times, order), _gather(events, order))

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> RaggedArray:
        """From Python lists, in the order given."""
        indptr = np.cumsum([0, *map(len, lists)]).astype(np.int64)
        flat = [item for row in lists for item in row]
        return cls(indptr, np.array(flat, dtype=np.int64))

    def take(self, rows: IntArray) -> RaggedArray:
        """The lists of ``rows``, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and rows[0] >= 0 and bool((rows[1:] - rows[:-1] == 1).all()):
            return self._slice(int(rows[0]), int(rows[-1]) + 1)
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(starts - indptr[:-1], lengths)
        index = np.arange(indptr[-1]) + shift
        return RaggedArray(indptr, self.items[index], _gather(self.times, index), _gather(self.events, index))

    def _slice(self, start: int, stop: int) -> RaggedArray:
        """Lists ``start .. stop - 1``; entries are views, not copies."""
        indptr = self.indptr[start : stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        return RaggedArray(
            indptr - indptr[0], self.items[entries], _gather(self.times, entries), _gather(self.events, entries)
        )

    def owners(self) -> IntArray:
        """int64 [indptr[-1]]: the list each entry belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)


def _gather(values: IntArray | None, index: IntArray | slice) -> IntArray | None:
    return None if values is None else values[index]


@dataclass(frozen=True, eq=False)
class UserBatch:
    """Users as models see them; a visitor with three likes is an ordinary user.

    Attributes:
        rows: int64 [B], the row in the training user table, -1 for users not in it.
        history: items each user is known to have taken, B lists.
        attributes: optional float features [B, a].
    """

    rows: IntArray
    history: RaggedArray
    attributes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: IntArray) -> UserBatch:
        """A sub-batch."""
        attributes = None if self.attributes is None else self.attributes[index]
        return UserBatch(self.rows[index], self.history.take(index), attributes)


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Training pairs: users int64 [B], items int64 [B], negatives int64 [B, n] (n may be 0)."""

    users: Tensor
    items: Tensor
    negatives: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class ExampleBatch:
    """Training examples of items: rows int64 [B, m], the m items of each example; what m means is the model's."""

    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)
