"""Ready-made vectors as features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.core.files import digest


def as_features(vectors: Any, name: str = "matrix") -> Features:
    """``Features`` as they are if they say where they come from, anything else by :func:`given`.

    Args:
        vectors: ``Features``, or a matrix [n, d].
        name: of the vectors in errors.

    Raises:
        FeatureError: as :func:`given`.
    """
    if not isinstance(vectors, Features):
        return given(vectors, name=name)
    return vectors if vectors.identity else given(vectors.values, vectors.present, name)


def given(matrix: Any, present: NDArray[np.bool_] | None = None, name: str = "matrix") -> Features:
    """Ready-made vectors [n, d] as features of the encoder ``given:<hash>``.

    Args:
        matrix: array, or what becomes one, with one row an entity; converted to float32 unless float16/32 (float32
            memory maps stay mapped).
        present: bool [n]; by default all rows but those that are NaN throughout. Rows that are absent may hold any
            values and become zero.
        name: of the matrix in errors.

    Raises:
        FeatureError: for a wrong shape, and for NaN or infinite values, with row and column.
    """
    values = np.asanyarray(matrix)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise FeatureError(f"a numeric matrix [n, d] expected, not {values.dtype} {values.shape}", key=name)
    mask = ~_empty_rows(values) if present is None else np.asarray(present, bool)
    if mask.shape != (len(values),):
        raise FeatureError(f"{len(values)} rows but a mask of shape {mask.shape}", key=name)
    if values.dtype not in (np.float16, np.float32):
        values = values.astype(np.float32)
    bad = ~np.isfinite(values) & mask[:, None]
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise FeatureError(
            f"{values[row, column]} in given vectors",
            row=int(row) + 1,
            column=str(int(column)),
            key=name,
            hint="mark rows without content as absent, or repair them",
        )
    if not mask.all():
        values = np.where(mask[:, None], values, 0).astype(values.dtype)
    identity = digest(str(values.shape), values.dtype.str, np.ascontiguousarray(values).tobytes(), mask.tobytes())
    return Features(values, mask, identity=f"given:{identity[:16]}")


def _empty_rows(values: NDArray) -> NDArray[np.bool_]:
    """bool [n]: rows that are NaN throughout, as tables mark what is missing."""
    if values.dtype.kind != "f" or not values.shape[1]:
        return np.zeros(len(values), bool)
    empty: NDArray[np.bool_] = np.isnan(values[:, 0])
    empty[empty] = np.isnan(values[empty]).all(axis=1)
    return empty
