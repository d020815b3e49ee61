"""Where an index may be: a folder of this machine, or an index_url that several machines share."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ArtefactError
from palate.serving.index.local import LocalIndex
from palate.serving.index.tuning import CalibrationQueries

Made = tuple[NDArray[np.float32], NDArray[np.bool_]]


class VectorIndex(Protocol):
    """What every index does; see :class:`LocalIndex`."""

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]: ...

    def put(self, rows: IntArray, vectors: NDArray[np.float32]) -> None: ...

    def drop(self, rows: IntArray) -> None: ...


def open_index(
    name: str,
    folder: Path,
    index_url: str | None,
    make: Callable[[], Made],
    asked: Callable[[], CalibrationQueries | None],
) -> VectorIndex:
    """The index called ``name``, built if there is none, by one of this machine's processes that ask.

    Args:
        folder: of indexes. index_url: address of a Qdrant server instead, as :func:`.qdrant.connect` reads it. make:
            vectors and which rows count. asked: queries like those that will be asked.
    """
    if index_url is None:
        return LocalIndex.shared(folder / name, make, asked)
    from palate.serving.index.qdrant import QdrantIndex, connect

    client = connect(index_url)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            return QdrantIndex(name, client)
        except ArtefactError:
            return QdrantIndex.build(name, *make(), client=client)
