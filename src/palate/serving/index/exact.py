"""Scores of all candidates, and the best of several sets of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.ranking.selection import best

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Rows int64 [m], rising, or [B, m] where they differ by query (-1 is none), and scores float32 [B, m]."""


FEW = 0.1
"""Share of the rows below which it is faster to take those that count out of the table, and cells lose some of them."""
HELD = 1 << 22
"""Scores held at once (16 MiB)."""
BLOCK = 1 << 10
"""Rows that are copied at once: half a MiB of 128 numbers each."""
SORTED = 1 << 12
"""Candidates up to which sorting them all is faster than taking the best out first."""
Some = tuple[NDArray[np.int64] | None, NDArray[np.float32]]
"""As :data:`Found`; rows None are all from 0 on."""


def compared(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    there: NDArray[np.bool_] | None,
    k: int,
    exclude: RaggedArray | None,
) -> Found:
    """The best ``k`` rows of ``vectors`` [n, d] that are ``there`` (bool [n], None for all), by comparing every one.

    O(q * n * d), and O(n + q * m * d) where only m of them, less than :data:`FEW`, are there.
    """
    rows = None
    if there is not None and np.count_nonzero(there) < FEW * len(there):
        rows, there = np.flatnonzero(there), None
    parts: list[Found] = []
    step = max(1, HELD // max(len(vectors) if rows is None else len(rows), 1))
    hidden = None if there is None else ~there
    for start in range(0, len(queries), step):
        some = queries[start : start + step]
        scores = _products(some, vectors) if rows is None else _taken(some, vectors, rows)
        if hidden is not None:
            np.copyto(scores, -np.inf, where=hidden)
        mine = None if exclude is None else exclude.take(np.arange(start, start + len(scores)))
        parts.append(best_of(k, mine, (rows, scores)))
    if not parts:
        return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
    return np.concatenate([found for found, _ in parts]), np.concatenate([scores for _, scores in parts])


def _products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 [q, n]; a matrix times one vector reads the matrix once, which the product of two does not."""
    if len(queries) == 1:
        return np.asarray((vectors @ queries[0])[None])
    return np.asarray(queries @ vectors.T)


def _taken(queries: NDArray[np.float32], vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Float32 [q, len(rows)]: products with ``rows`` of ``vectors``, which are copied in blocks that stay in cache."""
    block = np.empty((min(BLOCK, len(rows)), vectors.shape[1]), np.float32)
    scores = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        # by default what is taken goes through another copy
        np.take(vectors, some, axis=0, out=block[: len(some)], mode="clip")
        scores[:, start : start + len(some)] = _products(queries, block[: len(some)])
    return scores


def best_of(k: int, exclude: RaggedArray | None, *found: Some) -> tuple[IntArray, NDArray[np.float32]]:
    """The best ``k`` of several sets of candidates, in order; equal scores go by row.

    Rows that a query excludes, and scores of minus infinity, are none: -1.
    """
    rows, scores = [], []
    for some, values in found:
        if not values.shape[1]:
            continue
        values = _without(some, values, exclude)
        if values.shape[1] > max(k, SORTED):
            values, near = (part.numpy() for part in _best(torch.from_numpy(values), k))
        else:
            near = np.broadcast_to(np.arange(values.shape[1]), values.shape)
        if some is not None:
            near = some[near] if some.ndim == 1 else np.take_along_axis(some, near, 1)
        rows.append(near)
        scores.append(values)
    if not rows:
        return _nothing(len(found[0][1]) if found else 0, k)
    every, value = np.concatenate(rows, axis=1), np.concatenate(scores, axis=1)
    order = np.lexsort((every, -value), axis=1)[:, :k]
    every, value = np.take_along_axis(every, order, 1), np.take_along_axis(value, order, 1)
    every[np.isneginf(value)] = -1
    if every.shape[1] == k:
        return every, value
    none, low = _nothing(len(every), k - every.shape[1])
    return np.concatenate([every, none], axis=1), np.concatenate([value, low], axis=1)


def _best(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best ``k`` columns of each row; a single row is done at once unless the last place is contested."""
    if len(scores) == 1:
        values, columns = scores.topk(k + 1)
        if values[0, k - 1] > values[0, k]:
            return values[:, :k], columns[:, :k]
    return best(scores, k)


def _nothing(count: int, k: int) -> tuple[IntArray, NDArray[np.float32]]:
    return np.full((count, k), -1, np.int64), np.full((count, k), -np.inf, np.float32)


def _without(
    rows: NDArray[np.int64] | None, scores: NDArray[np.float32], exclude: RaggedArray | None
) -> NDArray[np.float32]:
    """Scores with minus infinity where there is no row, and at what each query excludes; written in place."""
    if rows is not None and rows.ndim == 2:
        scores[rows < 0] = -np.inf
    for query in range(len(scores) if exclude is not None and len(exclude.items) else 0):
        assert exclude is not None
        unwanted = exclude[query]
        if rows is None:
            scores[query, unwanted[unwanted < scores.shape[1]]] = -np.inf
        elif rows.ndim == 2:
            scores[query, np.isin(rows[query], unwanted)] = -np.inf
        else:
            place = np.searchsorted(rows, unwanted)
            there = place < len(rows)
            there[there] = rows[place[there]] == unwanted[there]
            scores[query, place[there]] = -np.inf
    return scores
