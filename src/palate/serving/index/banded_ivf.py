"""Approximate search for catalogues too large to compare every vector: cells of vectors, of which the nearest are read.

By inner product long vectors are near to every query: of a recommender's items, the best ten of almost any user lie
among the longest few per cent, and cells of all norms together read many rows to find them. So rows are split into
bands by norm (Norm-Ranging LSH, Yan et al., NeurIPS 2018), each with cells of its own, and how many of each are read is
measured with queries like those to come.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.files import read_json, write_json
from palate.serving.index.calibration import CalibrationQueries
from palate.serving.index.exact import FILTERED_SHARE, SearchResult, exact_search
from palate.serving.index.norm_bands import NormBand, split_by_norm
from palate.serving.index.tuning import NEIGHBOR_DEPTH, SearchPlan, neighbor_weights, plan_search

BAND_FILE, PLAN_FILE, NEIGHBORS_FILE = "band-{}.faiss", "bands.json", "likely.npy"
OLD_FILE = "cells.faiss"
"""File of a former format without bands; such an index is built again."""
DEFAULT_QUERIES, CANDIDATES_PER_RESULT = 500, 4
"""Item vectors that serve as queries where none are given; candidates that are compared by their full vectors."""
SAMPLE_NEIGHBORS = 4096
"""Neighbours that are kept, to see how many a filter lets through."""


class BandedIVF:
    """Bands of cells, and the plan of what is read of them; candidates are ranked by their full vectors.

    Args:
        bands: bands, the longest vectors first.
        plan: number of cells of each band to read.
        neighbors: int64 [s], a sample of true neighbours of the calibration queries, drawn by weight.
    """

    def __init__(self, bands: list[NormBand], plan: SearchPlan, neighbors: IntArray) -> None:
        self.bands, self.plan, self.neighbors = bands, plan, neighbors

    @classmethod
    def build(
        cls, vectors: NDArray[np.float32], rows: IntArray, calibration: CalibrationQueries | None = None
    ) -> BandedIVF:
        """Cluster some rows, and plan searches.

        Args:
            vectors: float32 [n, d].
            rows: int64 [m], rows that can be found.
            calibration: queries to plan for; by default some of the vectors.

        Raises:
            MissingDependencyError: if faiss is not installed.
        """
        rng = np.random.default_rng(0)
        members = split_by_norm(vectors, rows)
        bands = [NormBand.build(vectors, band_rows, rng) for band_rows in members]
        if calibration is None or not len(calibration.vectors):
            calibration = CalibrationQueries(vectors[np.sort(rng.permutation(rows)[:DEFAULT_QUERIES])])
        queries = np.ascontiguousarray(calibration.vectors, np.float32)
        present = np.zeros(len(vectors), bool)
        present[rows] = True
        truth, _ = exact_search(queries, vectors, present, min(NEIGHBOR_DEPTH, max(len(rows), 1)), calibration.exclude)
        plan = plan_search(bands, members, vectors, queries, truth)
        weights = neighbor_weights(truth).ravel()
        neighbors = rows[:0]
        if weights.any():
            neighbors = rng.choice(truth.ravel(), SAMPLE_NEIGHBORS, p=weights / weights.sum())
        return cls(bands, plan, neighbors)

    def plan_holds(self, present: NDArray[np.bool_]) -> bool:
        """Whether so many rows are present, of all and of true neighbours, that the plan finds enough of them.

        Args:
            present: bool [n].
        """
        enough = np.count_nonzero(present) >= FILTERED_SHARE * len(present)
        return bool(enough and np.count_nonzero(present[self.neighbors]) >= FILTERED_SHARE * len(self.neighbors))

    def search(
        self,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        bitmap: NDArray[np.uint8] | None,
        k: int,
        exclude: RaggedArray | None,
    ) -> SearchResult | None:
        """Candidates of each query.

        Args:
            queries: float32 [q, d].
            vectors: float32 [n, d], the full vectors.
            bitmap: rows that may be found, packed from the lowest bit; None for all.
            k: number of rows that are wanted.
            exclude: rows that each query must not find; they may be among the candidates.

        Returns:
            Rows int64 [q, m], -1 is none, with inner products float32 [q, m]; None where the cells hold too few.
        """
        n_excluded = int(exclude.lengths.max(initial=0)) if exclude is not None else 0
        count = CANDIDATES_PER_RESULT * k + n_excluded
        found = [
            band.search(queries, count, probes, bitmap) for band, probes in zip(self.bands, self.plan.probes) if probes
        ]
        if not found:
            return None
        rows, scores = (np.concatenate(parts, axis=1) for parts in zip(*found))
        if rows.shape[1] > count:
            best = np.argpartition(scores, rows.shape[1] - count, axis=1)[:, -count:]
            rows = np.take_along_axis(rows, best, 1)
        if len(rows) and int((rows >= 0).sum(1).min()) < k + n_excluded:
            return None
        return rows, np.einsum("qd,qmd->qm", queries, vectors[np.maximum(rows, 0)])

    def save(self, folder: Path) -> None:
        """Write bands and plan into a folder."""
        for number, band in enumerate(self.bands):
            band.save(folder / BAND_FILE.format(number))
        np.save(folder / NEIGHBORS_FILE, self.neighbors)
        plan = {"probes": self.plan.probes, "recall": self.plan.recall, "rows": self.plan.rows}
        write_json(folder / PLAN_FILE, plan)

    @classmethod
    def load(cls, folder: Path) -> BandedIVF | None:
        """Bands and plan of a folder; None where the folder has none."""
        if not (folder / PLAN_FILE).is_file():
            return None
        plan = SearchPlan(**read_json(folder / PLAN_FILE))
        bands = [NormBand.load(folder / BAND_FILE.format(number)) for number in range(len(plan.probes))]
        return cls(bands, plan, np.load(folder / NEIGHBORS_FILE, allow_pickle=False))
