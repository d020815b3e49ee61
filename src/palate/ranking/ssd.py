"""Sliding spectrum decomposition (Huang et al., KDD 2021): each item differs from those in the window before it.

Greedy with modified Gram-Schmidt. Q_i is what is left of the vector of i, at first v_i. When j is chosen and the window
is full, its oldest item o is dropped, Q_i += P_oi Q_o; then P_ji = <Q_i, Q_j> / <Q_j, Q_j> and Q_i -= P_ji Q_j.

next = argmax_i theta r_i + (1 - theta) gamma |Q_i|, theta = 1 - diversity; the first is the most relevant

This is the stable form of the paper (its eq. 12); the literal objective multiplies by the volume so far. While the
window covers the list, |Q_i| is the distance of v_i to the span of what was chosen. Once it slides, vectors still in
the window are not made orthogonal again, so that dropped items go on acting through them, as in the paper.

Q_i is not stored: it is v_i - sum_w P_wi Q_w over the window, so that <Q_i, Q_j> takes one product with the v_i, and
|Q_i|^2 changes by known terms. Items without a vector: see :func:`palate.ranking.greedy.fill_absent`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.ranking.greedy import (
    Bools,
    Floats,
    IntArray,
    fill_absent,
    greedy_lists,
    products,
    standardised,
    unit_vectors,
)

SMALLEST = 1e-6
"""Of |Q_j|^2: rounding of float32; an item below it lies in the span of the window, and takes nothing away."""


def ssd_lists(
    relevance: Floats,
    vectors: Floats,
    k: int,
    diversity: float,
    known: Bools | None = None,
    *,
    gamma: float = 1.0,
    window: int | None = None,
    append_bias: bool = True,
    normalize_scores: bool = True,
    recent: Floats | None = None,
) -> IntArray:
    """Reorder lists of candidates, all at once; O(lists k n (d + w)) time, O(lists n (d + w)) memory for a window w.

    Args:
        relevance: float [lists, n].
        vectors: float [lists, n, d]; zeros where there is none.
        k: length of the new lists.
        diversity: 1 - theta, from 0 (by relevance) to 1.
        known: bool [lists, n], False at places that hold no candidate; all do by default.
        gamma: weight of the volume beside relevance.
        window: items that a new one should differ from; by default all of the list and ``recent``.
        append_bias: append a constant 1 to the unit vectors (paper, section 5.3).
        normalize_scores: relevance becomes its z-score within the list.
        recent: float [lists, m, d], vectors of what was shown last, oldest first, padded in front with zeros; the
            window starts with them, and the first item is chosen as the others are.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 where they ran out.
    """
    known = np.ones(relevance.shape, bool) if known is None else known
    if normalize_scores:
        relevance = standardised(relevance, known)
    size = window or min(k, relevance.shape[1]) + (0 if recent is None else recent.shape[1])
    unit, there = unit_vectors(vectors, append_bias)
    residuals = Residuals(unit, max(size, 1))
    seeded: Bools = np.zeros(len(relevance), bool)
    if recent is not None and recent.shape[1]:
        before, shown = unit_vectors(recent[:, -residuals.window :], append_bias)
        residuals.seed(before)
        seeded = np.asarray(shown.any(1))
    return greedy_lists(_Spectrum(relevance, residuals, there, seeded, diversity, gamma), known, k)


class Residuals:
    """Norms of the residuals of all candidates under a sliding window.

    Args:
        vectors: float32 [lists, n, d].
        window: number of items.

    Attributes:
        squares: float64 [lists, n], |Q_i|^2.
    """

    def __init__(self, vectors: NDArray[np.float32], window: int) -> None:
        lists, n, dim = vectors.shape
        self.vectors, self.window, self.pushed = vectors, window, 0
        self.squares = np.einsum("lnd,lnd->ln", vectors, vectors).astype(np.float64)
        self.basis = np.zeros((lists, window, dim), np.float32)
        self.inner = np.zeros((lists, window, window))
        self.shares, self.seen = np.zeros((lists, window, n)), np.zeros((lists, window, n))
        self.every = np.arange(lists)

    def of(self, chosen: IntArray) -> NDArray[np.float32]:
        """Residuals of one candidate a list: float32 [lists, d].

        Args:
            chosen: int64 [lists], positions.
        """
        shares = self.shares[self.every, :, chosen].astype(np.float32)
        residual: NDArray[np.float32] = self.vectors[self.every, chosen] - np.matmul(shares[:, None], self.basis)[:, 0]
        return residual

    def seed(self, recent: NDArray[np.float32]) -> None:
        """Start the window.

        Args:
            recent: float32 [lists, m, d], oldest first, m at most the window.
        """
        for at in range(recent.shape[1]):
            residual = recent[:, at].copy()
            for slot in range(at):
                base = self.basis[:, slot]
                length = self.inner[:, slot, slot]
                share = np.divide((residual * base).sum(1), length, out=np.zeros_like(length), where=length > SMALLEST)
                residual -= share[:, None].astype(np.float32) * base
            self.push(residual)

    def push(self, residual: NDArray[np.float32]) -> None:
        """Put a residual into the window; the oldest one leaves where it is full.

        Args:
            residual: float32 [lists, d].
        """
        slot = self.pushed % self.window
        if self.pushed >= self.window:
            left = self._onto(self.seen[:, slot], self.inner[:, :, slot])
            share, length = self.shares[:, slot], self.inner[:, slot, slot]
            self.squares += share * (2 * left + share * length[:, None])
            share[:] = 0
        self.basis[:, slot] = residual
        inner = products(self.basis, residual).astype(np.float64)
        self.inner[:, slot], self.inner[:, :, slot] = inner, inner
        self.seen[:, slot] = products(self.vectors, residual)
        left, length = self._onto(self.seen[:, slot], inner), inner[:, slot, None]
        share = np.divide(left, length, out=np.zeros_like(left), where=length > SMALLEST)
        self.shares[:, slot] = share
        self.squares = np.maximum(self.squares - share * left, 0)
        self.pushed += 1

    def _onto(self, seen: Floats, inner: Floats) -> Floats:
        """<Q_i, b> from <v_i, b> [lists, n] and the products of the window with b [lists, w]."""
        onto: Floats = seen - np.matmul(inner[:, None], self.shares)[:, 0]
        return onto


class _Spectrum:
    def __init__(
        self, relevance: Floats, residuals: Residuals, there: Bools, seeded: Bools, diversity: float, gamma: float
    ) -> None:
        self.relevance, self.residuals, self.there = relevance, residuals, there
        self.diversity, self.gamma = diversity, gamma
        self.seeded: Bools | None = seeded

    def gains(self, left: Bools) -> Floats:
        norms = fill_absent(np.sqrt(self.residuals.squares), self.there, left)
        gains: Floats = (1 - self.diversity) * self.relevance + self.diversity * self.gamma * norms
        # nothing is shown yet: the first is the most relevant
        return gains if self.seeded is None else np.where(self.seeded[:, None], gains, self.relevance)

    def add(self, chosen: IntArray) -> None:
        self.seeded = None
        self.residuals.push(self.residuals.of(chosen))
