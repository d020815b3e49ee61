"""Bands of vectors of similar norm, each clustered into cells of which a search reads the nearest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.errors import MissingDependencyError
from palate.serving.index.exact import SearchResult

SHARES = (0.02, 0.08, 0.2, 0.7)
"""Shares of all rows, the longest first. Of 1,000,000 spectral vectors this reads a fifth of what one band does; seven
bands, each twice as large as the one before, saved 3 % to 17 % more, which is not worth a search in each."""
CELL_FACTOR, MIN_PER_CELL = 2, 39
"""Cells of n vectors: ``CELL_FACTOR`` sqrt(n), but so few that k-means has ``MIN_PER_CELL`` vectors for each."""
CHUNK = 100_000
"""Vectors read at once."""


class NormBand:
    """Inverted lists of 8-bit vectors (faiss IVF-SQ8) by inner product; a band of few vectors is one list.

    Args:
        lists: a faiss IndexIVFScalarQuantizer.
    """

    def __init__(self, lists: Any) -> None:
        self.lists = lists

    @classmethod
    def build(cls, vectors: NDArray[np.float32], rows: IntArray, rng: np.random.Generator) -> NormBand:
        """Cluster some rows; cells are learnt from a sample, in O(rows^1/2 * sample * d).

        Args:
            vectors: float32 [n, d].
            rows: int64 [m], rows of the band.
            rng: draws the sample.

        Raises:
            MissingDependencyError: if faiss is not installed.
        """
        faiss = import_faiss()
        dim, count = vectors.shape[1], max(1, min(int(CELL_FACTOR * len(rows) ** 0.5), len(rows) // MIN_PER_CELL))
        metric, kind = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
        lists = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, count, kind, metric)
        # a small catalogue has fewer vectors than faiss asks for
        lists.cp.min_points_per_centroid = 1
        lists.train(vectors[np.sort(rng.permutation(rows)[: 2 * MIN_PER_CELL * count])])
        for part in np.array_split(rows, max(len(rows) // CHUNK, 1)):
            lists.add_with_ids(vectors[part], part)
        return cls(lists)

    @property
    def sizes(self) -> IntArray:
        """int64 [cells]: number of vectors in each cell."""
        lists = self.lists.invlists
        return np.array([lists.list_size(cell) for cell in range(self.lists.nlist)], np.int64)

    def nearest_cells(self, queries: NDArray[np.float32]) -> IntArray:
        """int64 [q, cells]: cells in the order in which each query (float32 [q, d]) reads them."""
        return np.asarray(self.lists.quantizer.search(queries, self.lists.nlist)[1])

    def cell_of(self, vectors: NDArray[np.float32]) -> IntArray:
        """int64 [n]: the cell of each vector (float32 [n, d]) of the band."""
        return np.asarray(self.lists.quantizer.search(vectors, 1)[1][:, 0])

    def search(
        self, queries: NDArray[np.float32], k: int, probes: int, bitmap: NDArray[np.uint8] | None
    ) -> SearchResult:
        """The best rows by their 8-bit vectors, in the nearest cells.

        Args:
            queries: float32 [q, d].
            k: number of rows at most.
            probes: number of cells to read.
            bitmap: rows that may be found, packed from the lowest bit; None for all.

        Returns:
            Rows int64 [q, k'], -1 where there are no more; inner products float32 [q, k'].
        """
        faiss = import_faiss()
        # faiss does not hold a reference to what the selector reads
        selector = None if bitmap is None else faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
        settings = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        scores, rows = self.lists.search(queries, min(k, self.lists.ntotal), params=settings)
        return rows, scores

    def save(self, file: Path) -> None:
        """Write the band to a file."""
        import_faiss().write_index(self.lists, str(file))

    @classmethod
    def load(cls, file: Path) -> NormBand:
        """The band of a file, memory-mapped."""
        faiss = import_faiss()
        lists = faiss.read_index(str(file), faiss.IO_FLAG_MMAP)
        # else every search starts threads that read ahead, which takes longer than the search
        faiss.downcast_InvertedLists(lists.invlists).prefetch_nthread = 0
        return cls(lists)


def split_by_norm(vectors: NDArray[np.float32], rows: IntArray) -> list[IntArray]:
    """Split rows into bands by norm, the longest first, in the shares :data:`SHARES`.

    Args:
        vectors: float32 [n, d].
        rows: int64 [m].

    Returns:
        Rows of each band, ascending; no band is empty.
    """
    chunks = np.array_split(rows, len(rows) // CHUNK + 1)
    norms = np.concatenate([np.zeros(0), *(np.linalg.norm(vectors[chunk], axis=1) for chunk in chunks)])
    descending = rows[np.argsort(-norms, kind="stable")]
    ends = (np.cumsum(SHARES)[:-1] * len(rows)).astype(int)
    return [np.sort(part) for part in np.split(descending, ends) if len(part)]


def import_faiss() -> Any:
    """The faiss module.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError("faiss", extra="ann") from error
    return faiss
