"""Scores of all candidates, and the best of several sets of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import Ints, Lists
from palate.metrics.selection import best

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Rows int64 [m], rising, or [B, m] where they differ by query (-1 is none), and scores float32 [B, m]."""


FEW = 0.1
"""Share of the rows below which it is faster to take those that count out of the table, and cells lose some of them."""
HELD = 1 << 22
"""Scores held at once (16 MiB)."""


def compared(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    there: NDArray[np.bool_],
    k: int,
    exclude: Lists | None,
) -> Found:
    """The best ``k`` rows of ``vectors`` [n, d] that are ``there`` (bool [n]), by comparing every one."""
    rows, hidden = np.arange(len(vectors)), None if there.all() else ~there
    if hidden is not None and there.sum() < FEW * len(there):
        rows, hidden = np.flatnonzero(there), None
        vectors = vectors[rows]
    parts: list[Found] = []
    step = max(1, HELD // max(len(rows), 1))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ vectors.T
        if hidden is not None:
            scores[:, hidden] = -np.inf
        mine = None if exclude is None else exclude.take(np.arange(start, start + len(scores)))
        parts.append(best_of(k, mine, (rows, scores)))
    if not parts:
        return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
    return np.concatenate([found for found, _ in parts]), np.concatenate([scores for _, scores in parts])


def best_of(k: int, exclude: Lists | None, *found: Found) -> tuple[Ints, NDArray[np.float32]]:
    """The best ``k`` of several sets of candidates, in order; equal scores go by row.

    Rows that a query excludes, and scores of minus infinity, are none: -1.
    """
    rows, scores = [], []
    for some, values in found:
        values = _without(some, values, exclude)
        some = np.broadcast_to(some, values.shape)
        if values.shape[1] > k:
            near = best(torch.from_numpy(values), k)[1].numpy()
            some, values = np.take_along_axis(some, near, 1), np.take_along_axis(values, near, 1)
        rows.append(some)
        scores.append(values)
    every, value = np.concatenate(rows, axis=1), np.concatenate(scores, axis=1)
    order = np.lexsort((every, -value), axis=1)[:, :k]
    every, value = np.take_along_axis(every, order, 1), np.take_along_axis(value, order, 1)
    every = np.where(np.isneginf(value), -1, every)
    short = k - every.shape[1]
    return (
        np.pad(every, ((0, 0), (0, max(short, 0))), constant_values=-1),
        np.pad(value, ((0, 0), (0, max(short, 0))), constant_values=-np.inf).astype(np.float32),
    )


def _without(rows: NDArray[np.int64], scores: NDArray[np.float32], exclude: Lists | None) -> NDArray[np.float32]:
    """Scores with minus infinity where there is no row, and at what each query excludes; written in place."""
    if rows.ndim == 2:
        scores[rows < 0] = -np.inf
    for query in range(len(scores) if exclude is not None and len(exclude.items) else 0):
        assert exclude is not None
        unwanted = exclude[query]
        if rows.ndim == 2:
            scores[query, np.isin(rows[query], unwanted)] = -np.inf
        else:
            place = np.searchsorted(rows, unwanted)
            there = place < len(rows)
            there[there] = rows[place[there]] == unwanted[there]
            scores[query, place[there]] = -np.inf
    return scores
