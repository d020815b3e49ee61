"""Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): relevant items that differ from those before them.

next = argmax_i (1 - diversity) rel_i - diversity max_{j chosen} cos(v_i, v_j)

Our choices: relevance is scaled to [0, 1] within the candidates, so that ``diversity`` means the same whatever model
scored; an item without a vector counts as similar as those that have one are on average, and makes none similar.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.ranking.greedy import Bools, Floats, fill_absent, greedy_lists, products, unit_range, unit_vectors


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
    there = similar.diagonal() > 0
    chosen = int(relevance.argmax())
    for place in range(len(out)):
        if place:
            filled = fill_absent(near[None], there[None], np.isfinite(left)[None])[0]
            chosen = int((left - diversity * filled).argmax())
        out[place] = chosen
        left[chosen] = -np.inf
        if there[chosen]:
            np.maximum(near, similar[chosen], out=near)
    return out


def mmr_lists(
    relevance: Floats, vectors: Floats, k: int, diversity: float, known: Bools | None = None
) -> NDArray[np.int64]:
    """Reorder lists of candidates, all at once; O(lists k n d) time, O(lists n d) memory.

    Args:
        relevance: float [lists, n].
        vectors: float [lists, n, d]; zeros where there is none.
        k: length of the new lists.
        diversity: from 0 (by relevance) to 1.
        known: bool [lists, n], False at places that hold no candidate; all do by default.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 where they ran out.
    """
    known = np.ones(relevance.shape, bool) if known is None else known
    return greedy_lists(_Marginal(relevance, vectors, diversity, known), known, k)


class _Marginal:
    def __init__(self, relevance: Floats, vectors: Floats, diversity: float, known: Bools) -> None:
        self.relevance, self.diversity = relevance, diversity
        self.weighted = (1 - diversity) * unit_range(relevance, known)
        self.unit, self.there = unit_vectors(vectors)
        self.near: NDArray[np.float32] | None = None
        self.every = np.arange(len(relevance))

    def gains(self, left: Bools) -> Floats:
        # nothing is chosen yet: the first is the most relevant, which dissimilarity must not decide
        if self.near is None:
            return self.relevance
        gains: Floats = self.weighted - self.diversity * fill_absent(self.near, self.there, left)
        return gains

    def add(self, chosen: NDArray[np.int64]) -> None:
        similar = products(self.unit, self.unit[self.every, chosen])
        # what has no vector makes nothing similar
        similar = np.where(self.there[self.every, chosen, None], similar, np.float32(-1))
        self.near = similar if self.near is None else np.maximum(self.near, similar)
