"""Greedy determinantal point process (Chen, Zhang & Zhou, NeurIPS 2018): lists whose items span a large volume.

The kernel is L_ij = q_i S_ij q_j with q_i = exp(theta r_i / (2 (1 - theta))) and theta = 1 - diversity, so that

    (1 - theta) log det(L_Y) = theta sum_{i in Y} r_i + (1 - theta) log det(S_Y)

next = argmax_i theta r_i + (1 - theta) log d_i^2, where d_i^2 = S_ii - |c_i|^2 and c_i is the row of i in the Cholesky
factor of S: after j is chosen, e_i = (S_ij - c_i . c_j) / d_j is appended to c_i, and d_i^2 falls by e_i^2.

Our choices: the factor is that of S, not of L, so that no q_i overflows and diversity may be 0; where S has no rank
left, what follows is ordered by relevance (the paper ends the list); items without a vector, see
:func:`palate.ranking.greedy.fill_absent`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.ranking.greedy import Bools, Floats, IntArray, fill_absent, greedy_lists, products, unit_vectors

SMALLEST = 1e-6
"""Of d_i^2: rounding of float32; below it an item lies in the span of those chosen."""


def dpp_lists(
    relevance: Floats, vectors: Floats, k: int, diversity: float, known: Bools | None = None, append_bias: bool = True
) -> IntArray:
    """Reorder lists of candidates, all at once; O(lists k n (d + k)) time, O(lists n (d + k)) memory.

    Args:
        relevance: float [lists, n], on a scale of the caller's choice.
        vectors: float [lists, n, d]; zeros where there is none.
        k: length of the new lists.
        diversity: 1 - theta, from 0 (by relevance) to 1.
        known: bool [lists, n], False at places that hold no candidate; all do by default.
        append_bias: S_ij = (1 + cos) / 2 as in the paper, under which opposite items differ most; else S_ij = cos.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 where they ran out.
    """
    known = np.ones(relevance.shape, bool) if known is None else known
    return greedy_lists(_Volume(relevance, vectors, min(k, relevance.shape[1]), diversity, append_bias), known, k)


class _Volume:
    def __init__(self, relevance: Floats, vectors: Floats, k: int, diversity: float, append_bias: bool) -> None:
        self.unit, self.there = unit_vectors(vectors, append_bias)
        self.half = 0.5 if append_bias else 1.0
        self.weighted, self.diversity = (1 - diversity) * relevance, diversity
        self.rest = np.ones(relevance.shape, np.float32)
        self.factor = np.zeros((*relevance.shape, k), np.float32)
        self.every, self.size = np.arange(len(relevance)), 0

    def gains(self, left: Bools) -> Floats:
        volume: NDArray[np.float32] = np.log(np.maximum(self.rest, SMALLEST))
        gains: Floats = self.weighted + self.diversity * fill_absent(volume, self.there, left)
        return gains

    def add(self, chosen: IntArray) -> None:
        every, size = self.every, self.size
        similar = self.half * products(self.unit, self.unit[every, chosen])
        before = products(self.factor[:, :, :size], self.factor[every, chosen, :size])
        scale = self.rest[every, chosen]
        # what lies in the span of the others, or has no vector, takes nothing away
        scale = np.where((scale > SMALLEST) & self.there[every, chosen], 1 / np.sqrt(np.maximum(scale, SMALLEST)), 0)
        column = (similar - before) * scale[:, None]
        self.factor[:, :, size] = column
        self.rest -= column * column
        self.size += 1
