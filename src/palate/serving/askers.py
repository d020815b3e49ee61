"""Queries like those that will be asked of an index: vectors of users that the run knows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from palate.core.batch import RaggedArray, UserBatch
from palate.ranking.scorer import Scorer

from .index.tuning import Asked

ASKERS = 500
"""Users that are drawn: the standard error of a share of .98 among so many is .006."""


def asked(scorer: Scorer, seen: RaggedArray, known: Iterable[int]) -> Asked | None:
    """Vectors of some users, who must not find what they took already; None where there are none of use.

    Args:
        seen: what each user took. known: rows of users that may be asked about.
    """
    rows = np.fromiter(known, np.int64)
    rows = rows[seen.lengths[rows] > 0]
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:ASKERS])
    histories = seen.take(rows)
    if not len(rows):
        return None
    vectors = scorer.user_vectors(UserBatch(rows, histories)).numpy()
    if vectors.ndim != 2:
        return None
    # nobody's neighbours are told from a vector of zeros, or from one that is not finite
    useful = np.flatnonzero(np.isfinite(vectors).all(1) & vectors.any(1))
    return Asked(vectors[useful], histories.take(useful))
