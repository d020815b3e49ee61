"""The state of an index in a folder, as one search sees it; it never changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.serving.index.banded_ivf import BandedIVF
from palate.serving.index.exact import SearchResult, exact_search, merge_top_k


@dataclass(frozen=True)
class IndexState:
    """The vectors of an index at one moment.

    Attributes:
        base: float32 [n, d], vectors by row, as the index was built.
        present: bool [n], rows whose vector in the base counts.
        ivf: approximate search of the base; None compares every vector.
        rows: int64 [m], ascending, rows that were put since.
        vectors: float32 [m, d], their vectors.
        changed: whether other rows of the base count than when it was built.
    """

    base: NDArray[np.float32]
    present: NDArray[np.bool_]
    ivf: BandedIVF | None
    rows: IntArray
    vectors: NDArray[np.float32]
    changed: bool = False

    @cached_property
    def size(self) -> int:
        """Number of rows up to the last one."""
        return max(len(self.base), int(self.rows.max(initial=-1)) + 1)

    def holds(self, rows: IntArray, vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which rows are found by these very vectors already.

        Args:
            rows: int64 [m].
            vectors: float32 [m, d].

        Returns:
            bool [m].
        """
        held = np.zeros(len(rows), bool)
        in_base = (rows >= 0) & (rows < len(self.base))
        in_base[in_base] = self.present[rows[in_base]]
        held[in_base] = (self.base[rows[in_base]] == vectors[in_base]).all(1)
        at = np.searchsorted(self.rows, rows)
        put = at < len(self.rows)
        put[put] = self.rows[at[put]] == rows[put]
        held[put] = (self.vectors[at[put]] == vectors[put]).all(1)
        return held

    def findable(self, rows: IntArray) -> NDArray[np.bool_]:
        """Which rows can be found.

        Args:
            rows: int64 [m].

        Returns:
            bool [m].
        """
        found = np.isin(rows, self.rows)
        in_base = rows < len(self.base)
        found[in_base] |= self.present[rows[in_base]]
        return found

    def apply(self, records: NDArray[np.void]) -> IndexState:
        """The state after changes.

        Args:
            records: records of a :class:`.ChangeLog`, in order.
        """
        # of several changes of a row the last counts
        _, first = np.unique(records["row"][::-1], return_index=True)
        last = records[len(records) - 1 - first]
        present = self.present.copy()
        present[last["row"][last["row"] < len(present)]] = False
        unchanged = ~np.isin(self.rows, last["row"])
        put = last[last["there"] == 1]
        rows = np.concatenate([self.rows[unchanged], put["row"]])
        vectors = np.concatenate([self.vectors[unchanged], put["vector"]])
        order = np.argsort(rows)
        return IndexState(self.base, present, self.ivf, rows[order], vectors[order], changed=True)

    def merged(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors float32 [size, d] and which rows count, bool [size], with all changes in one table."""
        vectors = np.zeros((self.size, self.base.shape[1]), np.float32)
        present = np.zeros(len(vectors), bool)
        vectors[: len(self.base)], present[: len(self.base)] = self.base, self.present
        vectors[self.rows], present[self.rows] = self.vectors, True
        return vectors, present

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> SearchResult:
        """Best rows of each query; see :meth:`.VectorIndex.search`.

        Args:
            queries: float32 [B, d], contiguous.
            k: number of rows.
            allowed: bool [rows], rows that may be found; rows beyond it may not. None allows all.
            exclude: rows that each query must not find.
        """
        present, rows, vectors = None, self.rows, self.vectors
        if allowed is not None:
            if len(allowed) < self.size:
                allowed = np.pad(allowed, (0, self.size - len(allowed)))
            in_base, put = allowed[: len(self.base)], allowed[rows]
            present = in_base if self._all_present else in_base & self.present
            rows, vectors = rows[put], vectors[put]
        found = self._approximate(queries, k, present, exclude)
        if found is None:
            if present is None and not self._all_present:
                present = self.present
            found = exact_search(queries, self.base, present, k, exclude)
            if not len(rows):
                return found
        return merge_top_k(k, exclude, (rows, queries @ vectors.T), found)

    @cached_property
    def _all_present(self) -> bool:
        return bool(self.present.all())

    @cached_property
    def _bitmap(self) -> NDArray[np.uint8] | None:
        """``present`` as the cells read it; None where they hold nothing else."""
        return np.packbits(self.present, bitorder="little") if self.changed else None

    @cached_property
    def is_approximate(self) -> bool:
        """Whether the approximate search answers where nothing is filtered."""
        return self.ivf is not None and (not self.changed or self.ivf.plan_holds(self.present))

    def _approximate(
        self, queries: NDArray[np.float32], k: int, present: NDArray[np.bool_] | None, exclude: RaggedArray | None
    ) -> SearchResult | None:
        """Candidates of the approximate search among ``present`` rows; None where it may miss some.

        That is with a filter that leaves few rows, or few of those that are mostly wanted.
        """
        if self.ivf is None or not (self.is_approximate if present is None else self.ivf.plan_holds(present)):
            return None
        bitmap = self._bitmap if present is None else np.packbits(present, bitorder="little")
        return self.ivf.search(queries, self.base, bitmap, k, exclude)
