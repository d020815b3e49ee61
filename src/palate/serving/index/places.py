"""Where an index may be: a folder of this machine, or an engine that several machines share."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ArtefactError

from .index import Index
from .tuning import Asked

Made = tuple[NDArray[np.float32], NDArray[np.bool_]]


class Searched(Protocol):
    """What every index does; see :class:`Index`."""

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]: ...

    def put(self, rows: IntArray, vectors: NDArray[np.float32]) -> None: ...

    def drop(self, rows: IntArray) -> None: ...


def opened(
    name: str, folder: Path, engine: str | None, make: Callable[[], Made], asked: Callable[[], Asked | None]
) -> Searched:
    """The index called ``name``, built if there is none, by one of this machine's processes that ask.

    Args:
        folder: of indexes. engine: address of a Qdrant server instead, as :func:`.qdrant.connect` reads it. make:
            vectors and which rows count. asked: queries like those that will be asked.
    """
    if engine is None:
        return Index.shared(folder / name, make, asked)
    from .qdrant import QdrantIndex, connect

    client = connect(engine)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            return QdrantIndex(name, client)
        except ArtefactError:
            return QdrantIndex.build(name, *make(), client=client)
