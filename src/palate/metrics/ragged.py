"""Top-k entries of each row of a sparse matrix, without making it dense."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOW_BITS = (1 << 29) - 1
_CELLS = 1 << 20
"""Padded entries in memory at once."""


def ragged_topk(
    indptr: NDArray[np.signedinteger],
    columns: NDArray[np.signedinteger],
    values: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the ``k`` best entries above zero of each row by (value descending, column ascending).

    Rows of similar length are padded together, so the work grows with the entries, whatever the row lengths are.

    Args:
        indptr: int [n + 1].
        columns: int [nnz], below 2^29, in any order within a row.
        values: float32 [nnz].
        k: entries a row.

    Returns:
        columns int64 [n, k] (-1 where a row has fewer than ``k``) and values float32 [n, k] (-inf there).
    """
    n = len(indptr) - 1
    starts = np.asarray(indptr[:-1], np.int64)
    lengths = np.diff(indptr).astype(np.int64)
    ids = np.full((n, k), -1, np.int64)
    scores = np.full((n, k), -np.inf, np.float32)
    # a float32 leaves the low 29 bits of a float64 free: the column written there decides ties and can be read back
    keys = np.append(np.maximum(values, 0).astype(np.float64), 0.0)
    keys[:-1].view(np.int64)[:] |= _LOW_BITS - np.asarray(columns, np.int64)
    keys[:-1][~(values > 0)] = 0.0
    size = np.maximum(np.ceil(np.log2(np.maximum(lengths, 1))), np.ceil(np.log2(k))).astype(np.int64)
    for power in np.unique(size[lengths > 0]):
        width = 1 << int(power)
        places = np.arange(width)
        group = np.flatnonzero((size == power) & (lengths > 0))
        for rows in np.array_split(group, -(-len(group) * width // _CELLS)):
            at = np.where(places < lengths[rows, None], starts[rows, None] + places, len(values))
            padded = keys[at]
            if width > k:
                padded = np.partition(padded, width - k, axis=1)[:, width - k :]
            padded.sort(axis=1)
            best = np.ascontiguousarray(padded[:, ::-1][:, :k])
            bits = best.view(np.int64)
            ids[rows] = np.where(best > 0, _LOW_BITS - (bits & _LOW_BITS), -1)
            value = (bits & ~_LOW_BITS).view(np.float64).astype(np.float32)
            scores[rows] = np.where(best > 0, value, -np.inf)
    return ids, scores
