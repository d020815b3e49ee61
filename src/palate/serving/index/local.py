"""An index in a folder: built once, memory-mapped, changed while it is searched, shared by processes.

``base-N/`` holds vectors float32 [rows, d] (and, where there are many, cells), ``changes-N`` what was put or dropped
since, ``current`` names N. A search reads a state that never changes, so it never sees half of an update. A rebuild
writes the next base next to the old one and then moves ``current``.
"""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import DataError
from palate.core.files import atomic_folder, inside, read_json, write_text
from palate.serving.index.banded_ivf import OLD_FILE, BandedIVF
from palate.serving.index.calibration import CalibrationQueries
from palate.serving.index.change_log import ChangeLog
from palate.serving.index.state import IndexState
from palate.serving.index.validation import check_rows, check_update, check_vectors

APPROXIMATE_FROM = 100_000
"""Rows from which cells are worth their memory; below, all vectors are compared."""
PAGE = 4096
"""Bytes of a file that are mapped at once, at least."""
CURRENT, BASE, CHANGES = "current", "base-{}", "changes-{}"


class LocalIndex:
    """A :class:`.VectorIndex` in a folder of this machine.

    Args:
        folder: folder made by :meth:`build`.

    Raises:
        ArtefactError: if the folder is damaged.
    """

    use: IO[str] | None = None
    """A lock that tells other processes that the index is open; it ends with this object."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._open()

    @classmethod
    def build(
        cls,
        folder: str | Path,
        vectors: NDArray[np.float32],
        present: NDArray[np.bool_] | None = None,
        approximate: bool | None = None,
        calibration: CalibrationQueries | None = None,
    ) -> LocalIndex:
        """Write an index, or the next one; processes that search the former go on until they refresh.

        Args:
            folder: folder of the index.
            vectors: float32 [n, d].
            present: bool [n], rows that can be found; all by default.
            approximate: whether cells are read; by default from 100,000 rows on.
            calibration: queries like those to come, for which cells are planned; by default item vectors.

        Raises:
            DataError: if a vector that is present is not finite.
            MissingDependencyError: if cells are to be read and faiss is not installed.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        vectors, present = check_vectors(vectors, present)
        number = int(read_json(folder / CURRENT)) + 1 if (folder / CURRENT).is_file() else 0
        _write_base(folder, number, vectors, present, approximate, calibration)
        write_text(folder / CURRENT, str(number))
        return cls(folder)

    @classmethod
    def open_shared(
        cls,
        folder: str | Path,
        make: Callable[[], tuple[NDArray[np.float32], NDArray[np.bool_]]],
        calibrate: Callable[[], CalibrationQueries | None] = lambda: None,
    ) -> LocalIndex:
        """The index of a folder, built if it does not exist: by one process, while the others wait.

        Cells of a former format are built again; rows that were put and dropped keep their state.

        Args:
            folder: folder of the index.
            make: makes vectors and ``present``, as :meth:`build` takes them.
            calibrate: makes the queries that :meth:`build` takes.

        Raises:
            DataError: if a vector that is present is not finite.
            MissingDependencyError: if cells are to be read and faiss is not installed.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not (folder / CURRENT).is_file():
                return cls.build(folder, *make(), calibration=calibrate())
            index = cls(folder)
            if (folder / BASE.format(index.number) / OLD_FILE).is_file():
                index.rebuild(calibration=calibrate())
            return index

    def rebuild(self, approximate: bool | None = None, calibration: CalibrationQueries | None = None) -> None:
        """Write a base of the present state, while others search and write; what they write meanwhile is kept.

        Args:
            approximate: as in :meth:`build`.
            calibration: as in :meth:`build`.

        Raises:
            DataError: if another process rebuilt the index meanwhile.
        """
        with self._lock:
            vectors, present = self.state.merged()
            made = _write_base(self.folder, self.number + 1, vectors, present, approximate, calibration)
            with self.changes.locked(), made.locked() as handle:
                if self._is_outdated():
                    raise DataError("another process rebuilt the index meanwhile", key=str(self.folder))
                made.append(self.changes.read_new(), handle)
                write_text(self.folder / CURRENT, str(self.number + 1))
            self._open()

    def refresh(self) -> bool:
        """Read what other processes wrote; whether there was anything."""
        with self._lock:
            if self._is_outdated():
                self._open()
                return True
            return self._read_changes()

    def put(self, rows: Sequence[int] | IntArray, vectors: NDArray[np.float32]) -> None:
        """Make rows findable by these vectors from now on.

        Args:
            rows: rows; new ones may lie beyond the last.
            vectors: float32 [m, d].

        Raises:
            DataError: for rows below 0, and vectors of another width or that are not finite.
        """
        rows, vectors = check_update(rows, vectors, self.state.base.shape[1])
        # others may have dropped some of them: what is held is judged by what they wrote
        self.refresh()
        # processes that share an index put the same vectors
        new = ~self.state.holds(rows, vectors)
        if new.any():
            self._write(rows[new], vectors[new])

    def drop(self, rows: Sequence[int] | IntArray) -> None:
        """Never find these rows again, unless they are put once more.

        Args:
            rows: rows; those that cannot be found are passed over.

        Raises:
            DataError: for rows below 0.
        """
        rows = check_rows(rows)
        self.refresh()
        findable = self.state.findable(rows)
        if findable.any():
            self._write(rows[findable], None)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """Best rows of each query.

        Args:
            queries: float32 [B, d].
            k: number of rows.
            allowed: bool [rows], rows that may be found; rows beyond it may not. None allows all.
            exclude: rows that each query must not find.

        Returns:
            Rows int64 [B, k], -1 where there are no more; inner products float32 [B, k].
        """
        return self.state.search(np.ascontiguousarray(queries, np.float32), k, allowed, exclude)

    def _is_outdated(self) -> bool:
        return int(read_json(self.folder / CURRENT)) != self.number

    def _open(self) -> None:
        self.number = int(read_json(self.folder / CURRENT))
        base = inside(self.folder, BASE.format(self.number))
        # a view of another class than numpy's own costs time wherever it is touched
        vectors = np.asarray(np.load(base / "vectors.npy", mmap_mode="r", allow_pickle=False))
        present = np.load(base / "there.npy", allow_pickle=False)
        # else many of the first searches wait for pages to be mapped
        vectors.reshape(-1)[:: PAGE // vectors.itemsize].max(initial=0)
        dim = vectors.shape[1]
        self.changes = ChangeLog(self.folder / CHANGES.format(self.number), dim)
        self.state = IndexState(
            vectors, present, BandedIVF.load(base), np.zeros(0, np.int64), np.zeros((0, dim), np.float32)
        )
        self._read_changes()

    def _write(self, rows: IntArray, vectors: NDArray[np.float32] | None) -> None:
        with self._lock:
            while not self._try_write(rows, vectors):
                self._open()
            self._read_changes()

    def _try_write(self, rows: IntArray, vectors: NDArray[np.float32] | None) -> bool:
        with self.changes.locked() as handle:
            # another base may have been built since this process looked; the old one's changes are read no more
            if self._is_outdated():
                return False
            self.changes.append(self.changes.records(rows, vectors), handle)
            return True

    def _read_changes(self) -> bool:
        records = self.changes.read_new()
        if not len(records):
            return False
        self.state = self.state.apply(records)
        return True


def _write_base(
    folder: Path,
    number: int,
    vectors: NDArray[np.float32],
    present: NDArray[np.bool_],
    approximate: bool | None,
    calibration: CalibrationQueries | None = None,
) -> ChangeLog:
    """The ``number``-th base with no changes yet; of older ones the last stays, for processes that still open it."""
    with atomic_folder(folder / BASE.format(number)) as temporary:
        np.save(temporary / "vectors.npy", vectors)
        np.save(temporary / "there.npy", present)
        if approximate if approximate is not None else present.sum() >= APPROXIMATE_FROM:
            BandedIVF.build(vectors, np.flatnonzero(present), calibration).save(temporary)
    changes = folder / CHANGES.format(number)
    changes.write_bytes(b"")
    shutil.rmtree(folder / BASE.format(number - 2), ignore_errors=True)
    (folder / CHANGES.format(number - 2)).unlink(missing_ok=True)
    return ChangeLog(changes, vectors.shape[1])
