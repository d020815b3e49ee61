"""Factors of interactions by weighted alternating least squares: targets for models that predict them from content."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from palate.core.errors import ConfigError

Floats = NDArray[np.float32]
ENTRIES = 1 << 15
"""Entries of the matrix solved together."""


def weighted_factors(
    matrix: sp.csr_array,
    dim: int,
    *,
    confidence: float,
    reg: float,
    sweeps: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Minimise ``sum_ui c_ui (p_ui - x_u y_i)^2 + reg (|X|^2 + |Y|^2)`` (Hu, Koren & Volinsky, ICDM 2008).

    ``p`` is 1 where ``matrix`` has an entry and 0 elsewhere; ``c`` is ``confidence`` there and 1 elsewhere. Each half
    sweep is exact. Only products x_u y_i are determined, so scale moves to the users until the items with entries have
    a mean squared length of 1: targets of one size whatever the data. Cost: O(sweeps (entries dim^2 + (n + m) dim^3)).

    Args:
        matrix: [n, m]; its values are not read.
        dim: number of factors.
        confidence: weight of entries, at least 1.
        reg: penalty, above 0.
        sweeps: over users and items.
        rng: draws the start.

    Returns:
        X float32 [n, dim] and Y float32 [m, dim]; zero rows where there are no entries.

    Raises:
        ConfigError: a setting is out of range.
    """
    if dim < 1 or confidence < 1 or reg <= 0 or sweeps < 1:
        raise ConfigError("factors need a dim and sweeps of 1 or more, a confidence of at least 1 and a positive reg")
    rows, columns = sp.csr_array(matrix), sp.csr_array(matrix.T)
    right = rng.normal(0, dim**-0.5, (matrix.shape[1], dim))
    for _ in range(sweeps):
        left = _solve_rows(rows, right, confidence, reg)
        right = _solve_rows(columns, left, confidence, reg)
    lengths = np.square(right[np.diff(columns.indptr) > 0]).sum(1)
    scale = float(np.sqrt(lengths.mean())) if len(lengths) else 1.0
    scale = scale if scale > 0 else 1.0
    return (left * scale).astype(np.float32), (right / scale).astype(np.float32)


def _solve_rows(matrix: sp.csr_array, other: NDArray[np.float64], confidence: float, reg: float) -> NDArray[np.float64]:
    """Optimal factors of the rows; rows with equally many entries are solved together, so nothing is padded."""
    base = other.T @ other + reg * np.eye(other.shape[1])
    counts = np.diff(matrix.indptr)
    out = np.zeros((matrix.shape[0], other.shape[1]))
    for count in np.unique(counts[counts > 0]):
        group = np.flatnonzero(counts == count)
        for rows in np.array_split(group, -(-len(group) * int(count) // ENTRIES)):
            entries = matrix.indptr[rows][:, None] + np.arange(count)
            taken = other[matrix.indices[entries]]
            system = base + (confidence - 1) * taken.transpose(0, 2, 1) @ taken
            out[rows] = np.linalg.solve(system, confidence * taken.sum(1)[:, :, None])[:, :, 0]
    return out
