"""Queries like those to come, by which an approximate index is calibrated: vectors of users that the run knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import RaggedArray, UserBatch
from palate.ranking.scorer import Scorer

SAMPLE_USERS = 500
"""Users in the sample: the standard error of a share of .98 among so many is .006."""


@dataclass(frozen=True)
class CalibrationQueries:
    """Queries like those to come.

    Attributes:
        vectors: float32 [q, d].
        exclude: rows that each query must not find; None for none.
    """

    vectors: NDArray[np.float32]
    exclude: RaggedArray | None = None


def sample_queries(scorer: Scorer, seen: RaggedArray, users: Iterable[int]) -> CalibrationQueries | None:
    """Sample vectors of users, with the items that each has taken.

    Args:
        scorer: scorer with user vectors.
        seen: items taken, by user.
        users: rows of the users to sample from.

    Returns:
        The queries; None where no user has taken anything, or a user has several vectors.
    """
    rows = np.fromiter(users, np.int64)
    rows = rows[seen.lengths[rows] > 0]
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:SAMPLE_USERS])
    histories = seen.take(rows)
    if not len(rows):
        return None
    vectors = scorer.user_vectors(UserBatch(rows, histories)).numpy()
    if vectors.ndim != 2:
        return None
    # a vector of zeros, or one that is not finite, has no nearest neighbours
    useful = np.flatnonzero(np.isfinite(vectors).all(1) & vectors.any(1))
    return CalibrationQueries(vectors[useful], histories.take(useful))
