"""An index of item vectors in a folder: built once, memory-mapped, changed while it is searched, shared by processes.

``base-N/`` holds vectors float32 [rows, d] (and, where there are many, cells), ``changes-N`` what was put or taken
away since, ``current`` names N. A search reads a state that nobody changes, so it never sees half of an update.
Building anew writes the next base beside the old one and then moves ``current``.
"""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import DataError
from palate.core.files import atomic_folder, inside, read_json, write_text
from palate.serving.index.banded_ivf import FORMER, BandedIVF
from palate.serving.index.change_log import ChangeLog
from palate.serving.index.exact import SearchResult, exact_search, merge_top_k
from palate.serving.index.tuning import CalibrationQueries
from palate.serving.index.validation import check_rows, check_update, check_vectors

APPROXIMATE_FROM = 100_000
"""Rows from which cells are worth their memory; below, all vectors are compared."""
PAGE = 4096
"""Bytes of a file that are mapped at once, at least."""
CURRENT, BASE, CHANGES = "current", "base-{}", "changes-{}"


@dataclass(frozen=True)
class State:
    """What one search sees.

    Attributes:
        base: float32 [n, d]; row is place. there: bool [n], whose vector in the base counts.
        rows, vectors: of items put since, int64 [m], rising, and float32 [m, d].
        changed: whether other rows of the base count than when it was built.
    """

    base: NDArray[np.float32]
    there: NDArray[np.bool_]
    cells: BandedIVF | None
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    changed: bool = False

    @cached_property
    def whole(self) -> bool:
        """Whether every row of the base counts."""
        return bool(self.there.all())

    @cached_property
    def bits(self) -> NDArray[np.uint8] | None:
        """``there`` as cells read it; None where they hold nothing else."""
        return np.packbits(self.there, bitorder="little") if self.changed else None

    @cached_property
    def size(self) -> int:
        """Rows up to the last one."""
        return max(len(self.base), int(self.rows.max(initial=-1)) + 1)

    @cached_property
    def celled(self) -> bool:
        """Whether cells answer where nothing is filtered."""
        return self.cells is not None and (not self.changed or self.cells.suits(self.there))

    def among(self, allowed: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows of the base count and are allowed, and which of ``rows`` are; not to be written to."""
        if len(allowed) < self.size:
            allowed = np.pad(allowed, (0, self.size - len(allowed)))
        there = allowed[: len(self.base)]
        return there if self.whole else there & self.there, allowed[self.rows]

    def near(
        self, queries: NDArray[np.float32], k: int, there: NDArray[np.bool_] | None, exclude: RaggedArray | None
    ) -> SearchResult | None:
        """What cells find among the rows that are ``there``, by default all that count; None where they may miss some.

        That is with a filter that leaves few rows, or few of those that are mostly wanted.
        """
        if self.cells is None or not (self.celled if there is None else self.cells.suits(there)):
            return None
        bits = self.bits if there is None else np.packbits(there, bitorder="little")
        return self.cells.search(queries, self.base, bits, k, exclude)


class LocalIndex:
    """Inner products of queries with the vectors of catalogue rows, best first.

    Args:
        folder: made by :meth:`build`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.lock = threading.Lock()
        self._open()

    @classmethod
    def build(
        cls,
        folder: str | Path,
        vectors: NDArray[np.float32],
        there: NDArray[np.bool_] | None = None,
        approximate: bool | None = None,
        asked: CalibrationQueries | None = None,
    ) -> LocalIndex:
        """Write an index, the next one if there is one already; who searches the former goes on until told.

        Args:
            vectors: float32 [n, d]. there: bool [n], rows that can be found; all by default.
            approximate: cells or not; by default from 100,000 rows on.
            asked: queries like those that will be asked, for which cells are planned; by default items' vectors.

        Raises:
            DataError: for vectors that are not finite.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        vectors, there = check_vectors(vectors, there)
        number = int(read_json(folder / CURRENT)) + 1 if (folder / CURRENT).is_file() else 0
        _write_base(folder, number, vectors, there, approximate, asked)
        write_text(folder / CURRENT, str(number))
        return cls(folder)

    @classmethod
    def shared(
        cls,
        folder: str | Path,
        make: Callable[[], tuple[NDArray[np.float32], NDArray[np.bool_]]],
        asked: Callable[[], CalibrationQueries | None] = lambda: None,
    ) -> LocalIndex:
        """The index of ``folder``, built if there is none: by one of the processes that ask, while the others wait.

        Cells of a former format are made anew; what was put and dropped is kept.

        Args:
            make: vectors and ``there``, as :meth:`build` takes them. asked: as it takes them too.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not (folder / CURRENT).is_file():
                return cls.build(folder, *make(), asked=asked())
            found = cls(folder)
            if (folder / BASE.format(found.number) / FORMER).is_file():
                found.rebuild(asked=asked())
            return found

    def rebuild(self, approximate: bool | None = None, asked: CalibrationQueries | None = None) -> None:
        """Make a new base of what is there now, while others search and write; what they write meanwhile is kept.

        Args:
            approximate, asked: as :meth:`build` takes them.
        """
        with self.lock:
            state, changes, number = self.state, self.changes, self.number
            vectors = np.zeros((state.size, state.base.shape[1]), np.float32)
            there = np.zeros(len(vectors), bool)
            vectors[: len(state.base)], there[: len(state.base)] = state.base, state.there
            vectors[state.rows], there[state.rows] = state.vectors, True
            made = _write_base(self.folder, number + 1, vectors, there, approximate, asked)
            with changes.locked(), made.locked() as handle:
                if self._moved():
                    raise DataError("another process built the index anew meanwhile", key=str(self.folder))
                made.append(changes.news(), handle)
                write_text(self.folder / CURRENT, str(number + 1))
            self._open()

    def _moved(self) -> bool:
        return int(read_json(self.folder / CURRENT)) != self.number

    def _open(self) -> None:
        self.number = int(read_json(self.folder / CURRENT))
        base = inside(self.folder, BASE.format(self.number))
        # a view of another class than numpy's own costs time wherever it is touched
        vectors = np.asarray(np.load(base / "vectors.npy", mmap_mode="r", allow_pickle=False))
        there = np.load(base / "there.npy", allow_pickle=False)
        # else many of the first searches wait for pages to be mapped
        vectors.reshape(-1)[:: PAGE // vectors.itemsize].max(initial=0)
        self.changes = ChangeLog(self.folder / CHANGES.format(self.number), vectors.shape[1])
        nothing = np.zeros(0, np.int64), np.zeros((0, vectors.shape[1]), np.float32)
        self.state = State(vectors, there, BandedIVF.load(base), *nothing)
        self._read()

    def refresh(self) -> bool:
        """Take in what other processes wrote; whether there was anything."""
        with self.lock:
            if self._moved():
                self._open()
                return True
            return self._read()

    def put(self, rows: Sequence[int] | IntArray, vectors: NDArray[np.float32]) -> None:
        """Make rows findable by these vectors from now on; new rows may lie beyond the last.

        Raises:
            DataError: for rows below 0, and vectors of another width or that are not finite.
        """
        rows, vectors = check_update(rows, vectors, self.state.base.shape[1])
        # others may have dropped some of them, and what is held is judged by what they wrote
        self.refresh()
        new = ~self._held(rows, vectors)
        if new.any():
            self._write(rows[new], vectors[new])

    def _held(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of them are found by these very vectors already: processes that share an index put the same."""
        state, out = self.state, np.zeros(len(rows), bool)
        inside = (rows >= 0) & (rows < len(state.base))
        inside[inside] = state.there[rows[inside]]
        out[inside] = (state.base[rows[inside]] == vectors[inside]).all(1)
        at = np.searchsorted(state.rows, rows)
        put = at < len(state.rows)
        put[put] = state.rows[at[put]] == rows[put]
        out[put] = (state.vectors[at[put]] == vectors[put]).all(1)
        return out

    def drop(self, rows: Sequence[int] | IntArray) -> None:
        """Never find these rows again, unless they are put once more."""
        rows = check_rows(rows)
        self.refresh()
        state = self.state
        found = np.isin(rows, state.rows)
        found[rows < len(state.base)] |= state.there[rows[rows < len(state.base)]]
        if found.any():
            self._write(rows[found], None)

    def _write(self, rows: NDArray[np.int64], vectors: NDArray[np.float32] | None) -> None:
        with self.lock:
            while not self._written(rows, vectors):
                self._open()
            self._read()

    def _written(self, rows: NDArray[np.int64], vectors: NDArray[np.float32] | None) -> bool:
        with self.changes.locked() as handle:
            # a base may have been built since this process looked; nobody reads the old one's changes any more
            if self._moved():
                return False
            self.changes.append(self.changes.records(rows, vectors), handle)
            return True

    def _read(self) -> bool:
        news = self.changes.news()
        if not len(news):
            return False
        old = self.state
        # of several changes of a row the last counts
        _, first = np.unique(news["row"][::-1], return_index=True)
        last = news[len(news) - 1 - first]
        there = old.there.copy()
        there[last["row"][last["row"] < len(there)]] = False
        kept = ~np.isin(old.rows, last["row"])
        come = last[last["there"] == 1]
        rows = np.concatenate([old.rows[kept], come["row"]])
        vectors = np.concatenate([old.vectors[kept], come["vector"]])
        order = np.argsort(rows)
        self.state = State(old.base, there, old.cells, rows[order], vectors[order], changed=True)
        return True

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """Best rows of each query: int64 [B, k] (-1 where there are no more), inner products float32 [B, k].

        Args:
            queries: float32 [B, d]. allowed: bool [rows], the only ones that may be found; rows beyond it may not.
            exclude: rows that a query must not find.
        """
        state, queries = self.state, np.ascontiguousarray(queries, np.float32)
        there, rows, vectors = None, state.rows, state.vectors
        if allowed is not None:
            there, put = state.among(allowed)
            rows, vectors = rows[put], vectors[put]
        base = state.near(queries, k, there, exclude)
        if base is None:
            every = None if state.whole else state.there
            base = exact_search(queries, state.base, every if there is None else there, k, exclude)
            if not len(rows):
                return base
        return merge_top_k(k, exclude, (rows, queries @ vectors.T), base)


def _write_base(
    folder: Path,
    number: int,
    vectors: NDArray[np.float32],
    there: NDArray[np.bool_],
    approximate: bool | None,
    asked: CalibrationQueries | None = None,
) -> ChangeLog:
    """The ``number``-th base with no changes yet; of older ones the last is kept, for those who still open it."""
    with atomic_folder(folder / BASE.format(number)) as aside:
        np.save(aside / "vectors.npy", vectors)
        np.save(aside / "there.npy", there)
        if approximate if approximate is not None else there.sum() >= APPROXIMATE_FROM:
            BandedIVF.build(vectors, np.flatnonzero(there), asked).save(aside)
    changes = folder / CHANGES.format(number)
    changes.write_bytes(b"")
    shutil.rmtree(folder / BASE.format(number - 2), ignore_errors=True)
    (folder / CHANGES.format(number - 2)).unlink(missing_ok=True)
    return ChangeLog(changes, vectors.shape[1])
