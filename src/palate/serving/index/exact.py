"""Exact search: inner products with all candidates, and the best of several sets of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.ranking.selection import best

SearchResult = tuple[IntArray, NDArray[np.float32]]
"""Rows int64 [m], ascending, or [B, m] where they differ by query (-1 is none), and scores float32 [B, m]."""
Candidates = tuple[IntArray | None, NDArray[np.float32]]
"""As :data:`SearchResult`; rows None are all from 0 on."""

FILTERED_SHARE = 0.1
"""Share of the rows below which it is faster to copy the allowed ones, and an approximate index may miss some."""
MAX_SCORES = 1 << 22
"""Scores in memory at once (16 MiB)."""
BLOCK_ROWS = 1 << 10
"""Rows that are copied at once: half a MiB of 128 numbers each."""
SORT_BELOW = 1 << 12
"""Candidates up to which sorting them all is faster than selecting the best first."""


def exact_search(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    present: NDArray[np.bool_] | None,
    k: int,
    exclude: RaggedArray | None,
) -> SearchResult:
    """Best rows of each query, by comparing every one.

    O(q * n * d), and O(n + q * m * d) where only m of them, less than :data:`FILTERED_SHARE`, are present.

    Args:
        queries: float32 [q, d].
        vectors: float32 [n, d].
        present: bool [n], rows that may be found; None for all.
        k: number of rows.
        exclude: rows that each query must not find.

    Returns:
        Rows int64 [q, k], -1 where there are no more; inner products float32 [q, k].
    """
    rows = None
    if present is not None and np.count_nonzero(present) < FILTERED_SHARE * len(present):
        rows, present = np.flatnonzero(present), None
    parts: list[SearchResult] = []
    step = max(1, MAX_SCORES // max(len(vectors) if rows is None else len(rows), 1))
    absent = None if present is None else ~present
    for start in range(0, len(queries), step):
        batch = queries[start : start + step]
        scores = _products(batch, vectors) if rows is None else _products_with(batch, vectors, rows)
        if absent is not None:
            np.copyto(scores, -np.inf, where=absent)
        excluded = None if exclude is None else exclude.take(np.arange(start, start + len(scores)))
        parts.append(merge_top_k(k, excluded, (rows, scores)))
    if not parts:
        return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
    return np.concatenate([found for found, _ in parts]), np.concatenate([scores for _, scores in parts])


def merge_top_k(k: int, exclude: RaggedArray | None, *candidates: Candidates) -> SearchResult:
    """The best of several sets of candidates, in order; equal scores go by row.

    Args:
        k: number of rows.
        exclude: rows that each query must not find.
        *candidates: sets of candidates; their scores are overwritten.

    Returns:
        Rows int64 [B, k], -1 for scores of minus infinity and where there are no more; scores float32 [B, k].
    """
    rows, scores = [], []
    for known, values in candidates:
        if not values.shape[1]:
            continue
        values = _exclude(known, values, exclude)
        if values.shape[1] > max(k, SORT_BELOW):
            values, columns = (part.numpy() for part in _select(torch.from_numpy(values), k))
        else:
            columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
        if known is not None:
            columns = known[columns] if known.ndim == 1 else np.take_along_axis(known, columns, 1)
        rows.append(columns)
        scores.append(values)
    if not rows:
        return empty_result(len(candidates[0][1]) if candidates else 0, k)
    all_rows, all_scores = np.concatenate(rows, axis=1), np.concatenate(scores, axis=1)
    order = np.lexsort((all_rows, -all_scores), axis=1)[:, :k]
    all_rows, all_scores = np.take_along_axis(all_rows, order, 1), np.take_along_axis(all_scores, order, 1)
    all_rows[np.isneginf(all_scores)] = -1
    if all_rows.shape[1] == k:
        return all_rows, all_scores
    no_rows, no_scores = empty_result(len(all_rows), k - all_rows.shape[1])
    return np.concatenate([all_rows, no_rows], axis=1), np.concatenate([all_scores, no_scores], axis=1)


def empty_result(n_queries: int, k: int) -> SearchResult:
    """A result in which nothing was found.

    Args:
        n_queries: number of queries.
        k: number of rows.
    """
    return np.full((n_queries, k), -1, np.int64), np.full((n_queries, k), -np.inf, np.float32)


def _products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 [q, n]; a matrix times one vector reads the matrix once, which the product of two does not."""
    if len(queries) == 1:
        return np.asarray((vectors @ queries[0])[None])
    return np.asarray(queries @ vectors.T)


def _products_with(queries: NDArray[np.float32], vectors: NDArray[np.float32], rows: IntArray) -> NDArray[np.float32]:
    """Float32 [q, len(rows)]: products with ``rows`` of ``vectors``, which are copied in blocks that stay in cache."""
    block = np.empty((min(BLOCK_ROWS, len(rows)), vectors.shape[1]), np.float32)
    scores = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        some = rows[start : start + BLOCK_ROWS]
        # in the default mode the rows go through another copy
        np.take(vectors, some, axis=0, out=block[: len(some)], mode="clip")
        scores[:, start : start + len(some)] = _products(queries, block[: len(some)])
    return scores


def _select(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best ``k`` columns of each row; a single row is done at once unless the last place is tied."""
    if len(scores) == 1:
        values, columns = scores.topk(k + 1)
        if values[0, k - 1] > values[0, k]:
            return values[:, :k], columns[:, :k]
    return best(scores, k)


def _exclude(rows: IntArray | None, scores: NDArray[np.float32], exclude: RaggedArray | None) -> NDArray[np.float32]:
    """Scores with minus infinity where there is no row, and at what each query excludes; written in place."""
    if rows is not None and rows.ndim == 2:
        scores[rows < 0] = -np.inf
    for query in range(len(scores) if exclude is not None and len(exclude.items) else 0):
        assert exclude is not None
        excluded = exclude[query]
        if rows is None:
            scores[query, excluded[excluded < scores.shape[1]]] = -np.inf
        elif rows.ndim == 2:
            scores[query, np.isin(rows[query], excluded)] = -np.inf
        else:
            place = np.searchsorted(rows, excluded)
            valid = place < len(rows)
            valid[valid] = rows[place[valid]] == excluded[valid]
            scores[query, place[valid]] = -np.inf
    return scores
