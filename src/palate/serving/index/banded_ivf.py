"""Vectors gathered in cells, of which a search reads the nearest: for catalogues too large to compare every vector.

By inner product long vectors are near to everybody: of a recommender's items, the best ten of almost any user lie among
the longest few per cent, and cells of all lengths together read many rows to find them. So rows are cut in bands by
length (Norm-Ranging LSH, Yan et al., NeurIPS 2018), each with cells of its own, and how many of each are read is
measured with queries like those that will be asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import RaggedArray
from palate.core.files import read_json, write_json
from palate.serving.index.exact import FILTERED_SHARE, SearchResult, exact_search
from palate.serving.index.norm_bands import NormBand, split_by_norm
from palate.serving.index.tuning import NEIGHBOR_DEPTH, CalibrationQueries, SearchPlan, plan, weights

FILE, ABOUT, LIKELY = "band-{}.faiss", "bands.json", "likely.npy"
FORMER = "cells.faiss"
"""File of cells that knew no bands; they are made anew."""
ASKED, MORE = 500, 4
"""Vectors that ask when reading is planned, where nobody says which; candidates a result, compared by whole vectors."""
SAMPLE = 4096
"""Neighbours kept, by which is seen how many of those that are wanted a filter lets through."""


class BandedIVF:
    """Bands of cells, and what is read of them; what is found is ranked by the vectors themselves.

    Attributes:
        bands: the longest vectors first. plan: cells read of each. likely: int64 [s], rows that were wanted when it was
            made, each as often as it weighed.
    """

    def __init__(self, bands: list[NormBand], plan: SearchPlan, likely: NDArray[np.int64]) -> None:
        self.bands, self.plan, self.likely = bands, plan, likely

    @classmethod
    def build(
        cls, vectors: NDArray[np.float32], rows: NDArray[np.int64], asked: CalibrationQueries | None = None
    ) -> BandedIVF:
        """Of these rows of ``vectors``.

        Args:
            asked: queries to plan for; by default some of the vectors themselves.

        Raises:
            MissingDependencyError: without faiss.
        """
        rng = np.random.default_rng(0)
        members = split_by_norm(vectors, rows)
        bands = [NormBand.build(vectors, mine, rng) for mine in members]
        if asked is None or not len(asked.vectors):
            asked = CalibrationQueries(vectors[np.sort(rng.permutation(rows)[:ASKED])])
        queries = np.ascontiguousarray(asked.vectors, np.float32)
        there = np.zeros(len(vectors), bool)
        there[rows] = True
        truth, _ = exact_search(queries, vectors, there, min(NEIGHBOR_DEPTH, max(len(rows), 1)), asked.exclude)
        chosen = plan(bands, members, vectors, queries, truth)
        weight = weights(truth).ravel()
        likely = rng.choice(truth.ravel(), SAMPLE, p=weight / weight.sum()) if weight.any() else rows[:0]
        return cls(bands, chosen, likely)

    def suits(self, there: NDArray[np.bool_]) -> bool:
        """Whether so much is ``there`` (bool [n]), of all rows and of those that are wanted, that the plan holds."""
        enough = np.count_nonzero(there) >= FILTERED_SHARE * len(there)
        return bool(enough and np.count_nonzero(there[self.likely]) >= FILTERED_SHARE * len(self.likely))

    def search(
        self,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        bits: NDArray[np.uint8] | None,
        k: int,
        exclude: RaggedArray | None,
    ) -> SearchResult | None:
        """Candidates of each query with their exact inner products; None where the cells that are read hold too few.

        Args:
            bits: of the rows that may be found, packed from the lowest; None for all.
        """
        hidden = int(exclude.lengths.max(initial=0)) if exclude is not None else 0
        count = MORE * k + hidden
        found = [
            band.search(queries, count, probes, bits) for band, probes in zip(self.bands, self.plan.probes) if probes
        ]
        if not found:
            return None
        rows, near = (np.concatenate(parts, axis=1) for parts in zip(*found))
        if rows.shape[1] > count:
            kept = np.argpartition(near, rows.shape[1] - count, axis=1)[:, -count:]
            rows = np.take_along_axis(rows, kept, 1)
        if len(rows) and int((rows >= 0).sum(1).min()) < k + hidden:
            return None
        return rows, np.einsum("qd,qmd->qm", queries, vectors[np.maximum(rows, 0)])

    def save(self, folder: Path) -> None:
        for number, band in enumerate(self.bands):
            band.save(folder / FILE.format(number))
        np.save(folder / LIKELY, self.likely)
        write_json(folder / ABOUT, {"probes": self.plan.probes, "recall": self.plan.recall, "rows": self.plan.rows})

    @classmethod
    def load(cls, folder: Path) -> BandedIVF | None:
        """None where there are none."""
        if not (folder / ABOUT).is_file():
            return None
        about = read_json(folder / ABOUT)
        bands = [NormBand.load(folder / FILE.format(number)) for number in range(len(about["probes"]))]
        return cls(bands, SearchPlan(**about), np.load(folder / LIKELY, allow_pickle=False))
