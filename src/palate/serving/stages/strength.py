"""The strength of a slider: each tenth of its way replaces about as many items of the list."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from palate.core.batch import IntArray

STEPS = 7
"""Halvings in the search for a weight: to 1/128."""


def even_weight(order: Callable[[float], IntArray], k: int, n: int, strength: float) -> float:
    """The weight by which a slider has replaced its share of what it can replace.

    What a weight does depends on the scores: on one list a quarter changes nothing, on another nearly all. The weight
    is therefore searched with which as many of the first ``k`` items are replaced as belong to ``strength``: all that
    the greatest weight replaces for 1, half of them for 0.5.

    Args:
        order: takes a weight from 0 to 1 and gives the places of the candidates, int64 [>= k], best first.
        k: length of the list.
        n: number of candidates; where there are no more than ``k``, nothing can be replaced, and ``strength`` is the
            weight.
        strength: of the slider, 0 to 1.

    Returns:
        The weight, 0 to 1.
    """
    if n <= k or strength <= 0 or strength >= 1:
        return strength
    first = order(0.0)[:k]
    wanted = strength * _replaced(first, order(1.0)[:k])
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        weight = (low + high) / 2
        if _replaced(first, order(weight)[:k]) >= wanted:
            high = weight
        else:
            low = weight
    return high


def _replaced(before: IntArray, after: IntArray) -> int:
    return int(len(before) - np.isin(before, after).sum())
