"""The protocol of an index of item vectors, and where one is opened: all that the rest of serving knows of it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ArtefactError
from palate.core.files import digest
from palate.serving.index.calibration import CalibrationQueries
from palate.serving.index.local import LocalIndex

USE = "use.lock"
"""File of an index that every process locks while it has the index open."""


class VectorIndex(Protocol):
    """Inner products of queries with the vectors of catalogue rows, best first; safe to change while it is searched."""

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

    def put(self, rows: IntArray, vectors: NDArray[np.float32]) -> None:
        """Make rows findable by these vectors from now on.

        Args:
            rows: int64 [m]; new rows may lie beyond the last.
            vectors: float32 [m, d].

        Raises:
            DataError: for rows below 0, and vectors of another width or that are not finite.
        """

    def drop(self, rows: IntArray) -> None:
        """Never find these rows again, unless they are put once more.

        Args:
            rows: int64 [m].

        Raises:
            DataError: for rows below 0.
        """


def open_index(
    folder: Path,
    index_url: str | None,
    vectors: NDArray[np.float32],
    present: NDArray[np.bool_],
    queries: Callable[[], CalibrationQueries | None],
) -> VectorIndex:
    """The index of these vectors, named by their hash; built if it does not exist, by one process of this machine.

    Args:
        folder: folder of indexes.
        index_url: URL of a Qdrant server that holds the index instead, as :func:`.qdrant.connect` reads it.
        vectors: float32 [n, d].
        present: bool [n], rows that can be found.
        queries: samples queries like those to come, by which an approximate index is calibrated.

    Raises:
        DataError: if a vector that is present is not finite.
        MissingDependencyError: if the package of the index is not installed.
        EngineError: if the Qdrant server cannot be reached.
    """
    name = digest(str(vectors.shape), np.ascontiguousarray(vectors).data.tobytes(), present.tobytes())
    if index_url is None:
        use = _hold(folder / name)
        index = LocalIndex.open_shared(folder / name, lambda: (vectors, present), queries)
        index.use = use
        return index
    from palate.serving.index.qdrant import QdrantIndex, connect

    client = connect(index_url)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            return QdrantIndex(name, client)
        except ArtefactError:
            return QdrantIndex.build(name, vectors, present, client=client)


def remove_unused(folder: Path) -> list[str]:
    """Remove the indexes that no process has open: those of runs that were replaced.

    Args:
        folder: folder of indexes.

    Returns:
        Names of the indexes that were removed.
    """
    removed = []
    for index in sorted(folder.glob("*/current")):
        try:
            with open(index.parent / USE, "a") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(index.parent)
        except OSError:
            # in use, or on a file system that cannot tell
            continue
        removed.append(index.parent.name)
    return removed


def _hold(folder: Path) -> IO[str]:
    """A handle that keeps an index from being removed while it is open."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        # kept open on purpose: the lock ends with the handle
        handle = open(folder / USE, "a")  # noqa: SIM115
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            if os.stat(folder / USE).st_ino == os.fstat(handle.fileno()).st_ino:
                return handle
        except FileNotFoundError:
            # removed between the two steps
            pass
        except OSError:
            return handle
        handle.close()
