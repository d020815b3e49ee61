"""What every index refuses: vectors that are not finite or of another width, rows below 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.errors import DataError


def check_vectors(
    vectors: NDArray[np.float32], there: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors float32 [n, d] and which rows count, bool [n]; all by default.

    Raises:
        DataError: for a vector that counts and is not finite.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    there = np.ones(len(vectors), bool) if there is None else there
    if not np.isfinite(vectors[there]).all():
        bad = int(np.flatnonzero(there)[~np.isfinite(vectors[there]).all(1)][0])
        raise DataError("a vector that is not finite cannot be found", row=bad)
    return vectors, there


def check_update(
    rows: Sequence[int] | IntArray, vectors: NDArray[np.float32], wide: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows int64 [m] and their vectors float32 [m, wide].

    Raises:
        DataError: for rows below 0, and vectors of another width or that are not finite.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or vectors.shape != (len(rows), wide):
        raise DataError(f"one vector of {wide} numbers a row, not {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise DataError("a vector that is not finite cannot be found")
    return check_rows(rows), vectors


def check_rows(rows: Sequence[int] | IntArray) -> NDArray[np.int64]:
    """Rows int64 [m].

    Raises:
        DataError: for rows below 0.
    """
    found = np.asarray(rows, np.int64)
    if len(found) and found.min() < 0:
        raise DataError("rows begin at 0", row=int(found.min()))
    return found
