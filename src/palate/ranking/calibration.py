"""Calibrated lists (Steck, RecSys 2018): the genres of a list in the proportions of the user's history.

max_I (1 - strength) sum_{i in I} s_i - strength KL(p, q(I)), chosen greedily, with

    p(g) = mean over the history of p(g | i), q(g) = mean over the list of p(g | i)
    KL(p, q) = sum_g p(g) log(p(g) / ((1 - a) q(g) + a p(g))), a = 0.01

p(g | i) is 1 / (number of genres of i) for each of them.

Our choices: relevance s is scaled to [0, 1] within the candidates; items without a genre count in neither mean; a user
of whose genres nothing is known gets the list by relevance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.ranking.greedy import Bools, Floats, IntArray, greedy_lists, unit_range

SMOOTHING = 0.01
"""Part of p in the distribution of the list, so that the divergence is finite."""


def divergence(wanted: Floats, total: Floats) -> Floats:
    """KL divergence of what a list holds from what is wanted: float [...].

    Args:
        wanted: float [..., groups], p; its sum is 1, or 0 where nothing is known, which has no divergence.
        total: float [..., groups], sums of p(g | i) over a list, of any scale.
    """
    size = total.sum(-1, keepdims=True)
    held = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
    mixed = (1 - SMOOTHING) * held + SMOOTHING * wanted
    ratio = np.divide(wanted, mixed, out=np.ones_like(mixed), where=wanted > 0)
    found: Floats = (wanted * np.log(ratio)).sum(-1)
    return found


def calibrated_lists(
    relevance: Floats, shares: Floats, wanted: Floats, k: int, strength: float, known: Bools | None = None
) -> IntArray:
    """Reorder lists of candidates, all at once; O(lists k n groups) time, O(lists n groups) memory.

    Args:
        relevance: float [lists, n].
        shares: float32 [lists, n, groups], p(g | i); zeros for an item without a group.
        wanted: float32 [lists, groups], p; zeros where nothing is known.
        k: length of the new lists.
        strength: from 0 (by relevance) to 1 (by calibration).
        known: bool [lists, n], False at places that hold no candidate; all do by default.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 where they ran out.
    """
    known = np.ones(relevance.shape, bool) if known is None else known
    return greedy_lists(_Calibration(unit_range(relevance, known), shares, wanted, strength), known, k)


class _Calibration:
    def __init__(self, relevance: NDArray[np.float32], shares: Floats, wanted: Floats, strength: float) -> None:
        self.weighted, self.strength = (1 - strength) * relevance, strength
        self.shares, self.wanted = shares, wanted
        self.total = np.zeros_like(wanted)
        self.every = np.arange(len(relevance))

    def gains(self, left: Bools) -> Floats:
        # an item counts 1 in the list's mean whatever its number of genres: its shares sum to 1
        away = divergence(self.wanted[:, None], self.total[:, None] + self.shares)
        gains: Floats = self.weighted - self.strength * away
        return gains

    def add(self, chosen: IntArray) -> None:
        self.total = self.total + self.shares[self.every, chosen]
