"""Checks that every index makes: finite vectors of one width, rows from 0 on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.errors import DataError

NOT_FINITE = "a vector that is not finite cannot be found"


def check_vectors(
    vectors: NDArray[np.float32], present: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Check the vectors that an index is built of.

    Args:
        vectors: float32 [n, d].
        present: bool [n], rows that can be found; None for all.

    Returns:
        Contiguous vectors float32 [n, d], and bool [n].

    Raises:
        DataError: if a vector that is present is not finite.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    present = np.ones(len(vectors), bool) if present is None else present
    finite = np.isfinite(vectors[present]).all(1)
    if not finite.all():
        raise DataError(NOT_FINITE, row=int(np.flatnonzero(present)[~finite][0]))
    return vectors, present


def check_update(
    rows: Sequence[int] | IntArray, vectors: NDArray[np.float32], dim: int
) -> tuple[IntArray, NDArray[np.float32]]:
    """Check the vectors that are put into an index.

    Args:
        rows: rows of the vectors.
        vectors: float32 [m, d].
        dim: width of the index.

    Returns:
        Rows int64 [m], and vectors float32 [m, dim].

    Raises:
        DataError: for rows below 0, and vectors of another width or that are not finite.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or vectors.shape != (len(rows), dim):
        raise DataError(f"one vector of {dim} numbers a row is needed, not {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise DataError(NOT_FINITE)
    return check_rows(rows), vectors


def check_rows(rows: Sequence[int] | IntArray) -> IntArray:
    """Check rows of an index.

    Args:
        rows: rows.

    Returns:
        Rows int64 [m].

    Raises:
        DataError: for rows below 0.
    """
    checked = np.asarray(rows, np.int64)
    if len(checked) and checked.min() < 0:
        raise DataError("rows begin at 0", row=int(checked.min()))
    return checked
