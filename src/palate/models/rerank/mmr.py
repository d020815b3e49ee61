"""Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): each next item is relevant and unlike those before.

next = argmax_i (1 - diversity) rel_i - diversity max_{j chosen} cos(v_i, v_j)

Our choices: relevance is brought to [0, 1] within the candidates, so that ``diversity`` means the same whatever model
scored; an item without a vector resembles nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mmr(relevance: NDArray[np.float32], vectors: NDArray[np.float32], k: int, diversity: float) -> NDArray[np.int64]:
    """Rerank candidates; O(k n d) time.

    Args:
        relevance: float32 [n], scores of the candidates.
        vectors: float32 [n, d], zeros where an item has none.
        k: items to choose, at most.
        diversity: 0 (by relevance alone) to 1.

    Returns:
        Places of at most ``k`` candidates, int64, in the order in which they are shown.
    """
    n = len(relevance)
    if not n:
        return np.zeros(0, np.int64)
    low, high = float(relevance.min()), float(relevance.max())
    weighted = (1 - diversity) * (relevance - low) / max(high - low, 1e-12)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    # the first item is the most relevant one: there is nothing yet that it could resemble
    near, left, out = np.full(n, -1.0, np.float32), np.ones(n, bool), [int(relevance.argmax())]
    while len(out) < min(k, n):
        left[out[-1]] = False
        near = np.maximum(near, unit @ unit[out[-1]])
        out.append(int(np.where(left, weighted - diversity * near, -np.inf).argmax()))
    return np.array(out[:k], np.int64)
