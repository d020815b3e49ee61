"""Ready-made vectors as features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.core.files import digest


def given(matrix: NDArray, present: NDArray[np.bool_] | None = None, name: str = "matrix") -> Features:
    """Ready-made vectors [n, d] as features of the encoder ``given:<hash>``.

    Args:
        matrix: one row an entity; converted to float32 unless float16/32 (float32 memory maps stay mapped).
        present: bool [n]; default all. Rows that are absent may hold any values and become zero.
        name: of the matrix in errors.

    Raises:
        FeatureError: for a wrong shape, and for NaN or infinite values, with row and column.
    """
    values = np.asanyarray(matrix)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise FeatureError(f"a numeric matrix [n, d] expected, not {values.dtype} {values.shape}", key=name)
    mask = np.ones(len(values), bool) if present is None else np.asarray(present, bool)
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
