"""Vectors of about one length, gathered in cells of which a search reads the nearest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import MissingDependencyError
from palate.serving.index.exact import SearchResult

SHARES = (0.02, 0.08, 0.2, 0.7)
"""Of all rows, the longest first. Of 1,000,000 spectral vectors this reads a fifth of what one band does; seven bands,
each twice as large as the one before, saved 3 % to 17 % more, which is not worth a search in each."""
FINE, PER_CELL = 2, 39
"""Cells of n vectors: ``FINE`` sqrt(n), but so few that k-means has ``PER_CELL`` vectors for each."""


class NormBand:
    """Inverted lists of 8-bit vectors (faiss IVF-SQ8) by inner product; a band of few vectors is one list."""

    def __init__(self, lists: Any) -> None:
        self.lists = lists

    @classmethod
    def build(cls, vectors: NDArray[np.float32], rows: NDArray[np.int64], rng: np.random.Generator) -> NormBand:
        """Of these rows of ``vectors`` [n, d]; cells are learnt from a sample, in O(rows^1/2 * sample * d)."""
        faiss = engine()
        wide, count = vectors.shape[1], max(1, min(int(FINE * len(rows) ** 0.5), len(rows) // PER_CELL))
        metric, kind = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
        lists = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(wide), wide, count, kind, metric)
        # a small shop has fewer than faiss would like
        lists.cp.min_points_per_centroid = 1
        lists.train(vectors[np.sort(rng.permutation(rows)[: 2 * PER_CELL * count])])
        for part in np.array_split(rows, max(len(rows) // 100_000, 1)):
            lists.add_with_ids(vectors[part], part)
        return cls(lists)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Int64 [cells], vectors in each."""
        lists = self.lists.invlists
        return np.array([lists.list_size(cell) for cell in range(self.lists.nlist)], np.int64)

    def order(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        """Int64 [q, cells], in the order in which each query reads them."""
        return np.asarray(self.lists.quantizer.search(queries, self.lists.nlist)[1])

    def cell(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Int64 [n], where each of its vectors lies."""
        return np.asarray(self.lists.quantizer.search(vectors, 1)[1][:, 0])

    def search(
        self, queries: NDArray[np.float32], count: int, probes: int, bits: NDArray[np.uint8] | None
    ) -> SearchResult:
        """The best by their 8-bit vectors in the nearest ``probes`` cells: rows [q, count], -1 is none, and scores.

        Args:
            bits: of the rows that may be found, packed from the lowest; None for all.
        """
        faiss = engine()
        # faiss keeps no hold of what the selector reads
        selector = None if bits is None else faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        settings = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        scores, rows = self.lists.search(queries, min(count, self.lists.ntotal), params=settings)
        return rows, scores

    def save(self, file: Path) -> None:
        engine().write_index(self.lists, str(file))

    @classmethod
    def load(cls, file: Path) -> NormBand:
        """Memory-mapped."""
        faiss = engine()
        lists = faiss.read_index(str(file), faiss.IO_FLAG_MMAP)
        # else every search starts threads that read ahead, which takes longer than the search
        faiss.downcast_InvertedLists(lists.invlists).prefetch_nthread = 0
        return cls(lists)


def split_by_norm(vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """``rows`` of ``vectors`` in bands by length, the longest first, as :data:`SHARES` say; each rising, none empty."""
    lengths = np.concatenate(
        [
            np.zeros(0),
            *(np.linalg.norm(vectors[part], axis=1) for part in np.array_split(rows, len(rows) // 100_000 + 1)),
        ]
    )
    falling = rows[np.argsort(-lengths, kind="stable")]
    ends = (np.cumsum(SHARES)[:-1] * len(rows)).astype(int)
    return [np.sort(part) for part in np.split(falling, ends) if len(part)]


def engine() -> Any:
    """Faiss.

    Raises:
        MissingDependencyError: where it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError("faiss", extra="ann") from error
    return faiss
