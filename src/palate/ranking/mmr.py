"""Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): relevant items that differ from those before them.

next = argmax_i (1 - diversity) rel_i - diversity max_{j chosen} cos(v_i, v_j)

Our choices: relevance is scaled to [0, 1] within the candidates, so that ``diversity`` means the same whatever model
scored; an item without a vector is similar to nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mmr(relevance: NDArray[np.float32], vectors: NDArray[np.float32], k: int, diversity: float) -> NDArray[np.int64]:
    """Reorder one list of candidates; O(n (n d + k)) time.

    Args:
        relevance: float32 [n].
        vectors: float32 [n, d]; zeros where there is none.
        k: length of the list.
        diversity: from 0 (by relevance) to 1.

    Returns:
        int64 [min(k, n)], positions of the candidates in their new order.
    """
    return mmr_by_cosines(relevance, cosines(vectors), k, diversity)


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n, n]: cosines of all pairs of vectors, 0 for a vector of zeros.

    Args:
        vectors: float32 [n, d].
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit @ unit.T, np.float32)


def mmr_by_cosines(
    relevance: NDArray[np.float32], similar: NDArray[np.float32], k: int, diversity: float
) -> NDArray[np.int64]:
    """Reorder one list of candidates whose cosines are known; O(k n) time.

    Args:
        relevance: float32 [n].
        similar: float32 [n, n], cosines of pairs.
        k: length of the list.
        diversity: from 0 (by relevance) to 1.

    Returns:
        int64 [min(k, n)], positions of the candidates in their new order.
    """
    out = np.zeros(min(k, len(relevance)), np.int64)
    if not len(out):
        return out
    low, high = float(relevance.min()), float(relevance.max())
    left = ((1 - diversity) * (relevance - low) / max(high - low, 1e-12)).astype(np.float32)
    near = np.full(len(relevance), -1.0, np.float32)
    chosen = int(relevance.argmax())
    for place in range(len(out)):
        if place:
            chosen = int((left - diversity * near).argmax())
        out[place] = chosen
        left[chosen] = -np.inf
        np.maximum(near, similar[chosen], out=near)
    return out


def mmr_lists(
    relevance: NDArray[np.float32],
    vectors: NDArray[np.float32],
    k: int,
    diversity: float,
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Reorder lists of candidates, all at once; O(lists k n d) time, O(lists n d) memory.

    Args:
        relevance: float32 [lists, n].
        vectors: float32 [lists, n, d]; zeros where there is none.
        k: length of the new lists.
        diversity: from 0 (by relevance) to 1.
        known: bool [lists, n], False at places that hold no candidate; all do by default.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 where they ran out.
    """
    lists, n = relevance.shape
    count = min(k, n)
    out = np.full((lists, count), -1, np.int64)
    if not n or not lists:
        return out
    known = np.ones((lists, n), bool) if known is None else known
    low = np.where(known, relevance, np.inf).min(1, keepdims=True)
    high = np.where(known, relevance, -np.inf).max(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        scaled = (1 - diversity) * (relevance - low) / np.maximum(high - low, 1e-12)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-12)
    left, near, every = known.copy(), np.full((lists, n), -1.0, np.float32), np.arange(lists)
    # nothing is chosen yet: the first is the most relevant, which dissimilarity must not decide
    chosen = np.where(left, relevance, -np.inf).argmax(1)
    for place in range(count):
        if place:
            chosen = np.where(left, scaled - diversity * near, -np.inf).argmax(1)
        out[:, place] = np.where(left[every, chosen], chosen, -1)
        left[every, chosen] = False
        near = np.maximum(near, np.einsum("lnd,ld->ln", unit, unit[every, chosen]))
    return out
