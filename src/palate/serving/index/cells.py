"""Vectors gathered in cells, of which a search reads the nearest: for catalogues too large to compare every vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import Lists
from palate.core.errors import MissingDependencyError
from palate.core.files import read_json, write_json

from .exact import Found, compared

FILE, ABOUT = "cells.faiss", "cells.json"
WANTED = 0.98
"""Share of the true best that cells must find when they are built; as many are read as that takes."""
ASKED, DEPTH, MORE = 500, 50, 4
"""Vectors that ask when that is measured, and for how many; candidates a result, compared by their whole vectors."""
PER_CELL = 39
"""Vectors a cell that k-means is given at least, and no more than needed."""


class Cells:
    """Inverted lists of 8-bit vectors (faiss IVF-SQ8); what is found is ranked by the vectors themselves."""

    def __init__(self, cells: Any, probes: int, recall: float) -> None:
        self.cells, self.probes, self.recall = cells, probes, recall

    @classmethod
    def build(cls, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> Cells:
        """Of these rows of ``vectors``; learns cells from a sample and measures how many must be read.

        Raises:
            MissingDependencyError: without faiss.
        """
        faiss = _faiss()
        rng, wide = np.random.default_rng(0), vectors.shape[1]
        count = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // PER_CELL))
        coarse = faiss.IndexFlatIP(wide)
        cells = faiss.IndexIVFScalarQuantizer(
            coarse, wide, count, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        sample = rng.permutation(rows)[: 2 * PER_CELL * count]
        cells.train(vectors[np.sort(sample)])
        for part in np.array_split(rows, max(len(rows) // 100_000, 1)):
            cells.add_with_ids(vectors[part], part)
        made = cls(cells, 1, 0.0)
        made._tune(vectors, rows, rng)
        return made

    def _tune(self, vectors: NDArray[np.float32], rows: NDArray[np.int64], rng: np.random.Generator) -> None:
        asked = vectors[np.sort(rng.permutation(rows)[:ASKED])]
        depth = min(DEPTH, len(rows))
        every = np.zeros(len(vectors), bool)
        every[rows] = True
        truth, _ = compared(asked, vectors, every, depth, None)
        while True:
            found, _ = self.search(asked, vectors, every, depth, None)
            self.recall = float(np.mean([np.isin(t, f).mean() for t, f in zip(truth, found)]))
            if self.recall >= WANTED or self.probes >= self.cells.nlist:
                return
            self.probes = min(2 * self.probes, self.cells.nlist)

    def search(
        self,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        there: NDArray[np.bool_],
        k: int,
        exclude: Lists | None,
    ) -> Found:
        """Candidates of each query among the rows that are ``there``, with their exact inner products."""
        faiss = _faiss()
        wanted = MORE * k + (int(exclude.lengths.max(initial=0)) if exclude is not None else 0)
        # faiss keeps no hold of what the selector reads
        bits = None if there.all() else np.packbits(there, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(len(there), faiss.swig_ptr(bits))
        settings = faiss.SearchParametersIVF(nprobe=self.probes, sel=selector)
        _, rows = self.cells.search(queries, min(wanted, len(there)), params=settings)
        scores = np.einsum("qd,qmd->qm", queries, vectors[np.maximum(rows, 0)])
        return rows, scores.astype(np.float32)

    def save(self, folder: Path) -> None:
        _faiss().write_index(self.cells, str(folder / FILE))
        write_json(folder / ABOUT, {"probes": self.probes, "recall": self.recall})

    @classmethod
    def load(cls, folder: Path) -> Cells | None:
        """None where there are none."""
        if not (folder / FILE).is_file():
            return None
        faiss = _faiss()
        about = read_json(folder / ABOUT)
        return cls(faiss.read_index(str(folder / FILE), faiss.IO_FLAG_MMAP), about["probes"], about["recall"])


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError("faiss", extra="ann") from error
    return faiss
