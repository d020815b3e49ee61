"""Intra-list diversity over given item vectors, a chunk of lists at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import ConfigError, DataError

_NUMBERS = 1 << 22
"""float64 values in memory at once (32 MiB)."""


def intra_list_distance(
    ids: NDArray[np.int64],
    vectors: NDArray[np.floating],
    distance: Literal["cosine", "euclidean"] = "cosine",
    present: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Mean distance over ordered pairs of different positions, sum_{i != j} d(i, j) / (m (m - 1)), of each list (ILD).

    Only the lists' own pairs are computed, never items by items.

    Args:
        ids: int64 [n, k], -1 where a list is shorter.
        vectors: float [N, d], of any modality or model.
        distance: ``cosine`` (1 - cosine, 0..2) or ``euclidean``.
        present: bool [N]; items without a vector are left out of the pairs. Under ``cosine``, so is a vector of length
            0, which has no direction.

    Returns:
        float64 [n]; NaN for lists with fewer than two usable items.

    Raises:
        ConfigError: the distance is unknown.
        DataError: an item row is out of range, or a vector is not finite.
    """
    if distance not in ("cosine", "euclidean"):
        raise ConfigError("unknown distance", key=distance, hint="cosine or euclidean")
    if ids.max(initial=-1) >= len(vectors):
        raise DataError(f"a list contains item row {ids.max()}, but there are {len(vectors)} vectors")
    n, k = ids.shape
    out = np.full(n, np.nan)
    step = max(1, _NUMBERS // max(1, k * (vectors.shape[1] + k)))
    for start in range(0, n, step):
        rows = ids[start : start + step]
        filled = np.maximum(rows, 0)
        usable = (rows >= 0) if present is None else (rows >= 0) & present[filled]
        block = np.where(usable[..., None], vectors[filled].astype(np.float64), 0.0)
        if not np.isfinite(block).all():
            raise DataError("an item vector is not finite", key="vectors")
        if distance == "cosine":
            norm = np.linalg.norm(block, axis=2, keepdims=True)
            usable &= norm[..., 0] > 0
            block = np.divide(block, norm, out=np.zeros_like(block), where=norm > 0)
            # The sum over ordered pairs of u_i . u_j is |sum u|^2 - sum |u|^2: no pair need be formed.
            total = np.square(block.sum(axis=1)).sum(axis=1) - np.square(block).sum(axis=(1, 2))
            m = usable.sum(axis=1)
            summed = m * (m - 1) - total
        else:
            m = usable.sum(axis=1)
            pairs = usable[:, :, None] & usable[:, None, :]
            summed = (_euclidean(block) * pairs).sum(axis=(1, 2))
        out[start : start + step] = np.divide(summed, m * (m - 1), out=np.full(len(m), np.nan), where=m > 1)
    return out


def _euclidean(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances [b, k, k]; differences, not |x|^2 + |y|^2 - 2xy, which loses near-equal vectors to rounding."""
    b, k, _ = block.shape
    out = np.zeros((b, k, k))
    for shift in range(1, k):
        apart = np.linalg.norm(block[:, shift:] - block[:, :-shift], axis=2)
        near = np.arange(k - shift)
        out[:, near, near + shift] = apart
        out[:, near + shift, near] = apart
    return out
