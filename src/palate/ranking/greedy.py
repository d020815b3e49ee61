"""Greedy choice of lists: at each place the candidate with the largest gain, given what was chosen before.

Lists are handled all at once; only their places are a loop. Candidates of ``lists`` lists stand in arrays [lists, n].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class Objective(Protocol):
    """What a list is chosen for."""

    def gains(self, left: Bools) -> Floats:
        """Gain of each candidate at the next place.

        Args:
            left: bool [lists, n], candidates that were not chosen yet.

        Returns:
            float [lists, n]; finite for candidates that are left.
        """
        ...

    def add(self, chosen: IntArray) -> None:
        """Take what was chosen.

        Args:
            chosen: int64 [lists], positions; any position for lists that have ended.
        """
        ...


class Constraint(Protocol):
    """What a list may hold."""

    def allowed(self, candidates: Bools, place: int) -> Bools:
        """Narrow the candidates of a place.

        Args:
            candidates: bool [lists, n].
            place: from 0.

        Returns:
            bool [lists, n].
        """
        ...

    def add(self, chosen: IntArray, some: Bools, place: int) -> None:
        """Take what was chosen.

        Args:
            chosen: int64 [lists], positions.
            some: bool [lists], False for lists that have ended.
            place: from 0.
        """
        ...


def greedy_lists(objective: Objective, known: Bools, k: int, constraints: Sequence[Constraint] = ()) -> IntArray:
    """Choose lists place by place; of equal gains the earlier candidate wins.

    Args:
        objective: gains of candidates.
        known: bool [lists, n], False at places that hold no candidate.
        k: length of the lists.
        constraints: a list ends where they leave no candidate.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 after the end of a list.
    """
    lists, n = known.shape
    out = np.full((lists, min(k, n)), -1, np.int64)
    left, every = known.copy(), np.arange(lists)
    for place in range(out.shape[1] if lists else 0):
        allowed = left
        for constraint in constraints:
            allowed = constraint.allowed(allowed, place)
        chosen = np.where(allowed, objective.gains(left), -np.inf).argmax(1)
        some = allowed[every, chosen]
        out[some, place] = chosen[some]
        left[every, chosen] = False
        if not some.all():
            left[~some] = False
            if not some.any():
                break
        if place + 1 < out.shape[1]:
            objective.add(chosen)
            for constraint in constraints:
                constraint.add(chosen, some, place)
    return out


def unit_range(values: Floats, known: Bools) -> NDArray[np.float32]:
    """Scale the values of each list linearly to [0, 1]; lists of equal values become 0.

    Args:
        values: float [lists, n].
        known: bool [lists, n], False at places that hold no candidate; they become 0.

    Returns:
        float32 [lists, n].
    """
    low = np.where(known, values, np.inf).min(1, keepdims=True, initial=np.inf)
    high = np.where(known, values, -np.inf).max(1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        scaled = (values - low) / np.maximum(high - low, 1e-12)
    return np.where(known, scaled, 0).astype(np.float32)


def standardised(values: Floats, known: Bools) -> NDArray[np.float32]:
    """Shift and scale the values of each list to mean 0 and standard deviation 1; lists of equal values become 0.

    Args:
        values: float [lists, n].
        known: bool [lists, n], False at places that hold no candidate; they become 0.

    Returns:
        float32 [lists, n].
    """
    count = np.maximum(known.sum(1, keepdims=True), 1)
    shifted = np.where(known, values, 0).astype(np.float64)
    shifted = np.where(known, shifted - shifted.sum(1, keepdims=True) / count, 0)
    spread = np.sqrt(np.square(shifted).sum(1, keepdims=True) / count)
    scaled: NDArray[np.float32] = np.divide(shifted, spread, out=np.zeros_like(shifted), where=spread > 1e-12).astype(
        np.float32
    )
    return scaled


def unit_vectors(vectors: Floats, append_bias: bool = False) -> tuple[NDArray[np.float32], Bools]:
    """Scale vectors to length 1.

    Args:
        vectors: float [lists, n, d]; zeros where an item has none.
        append_bias: append a column of ones to the vectors that are not zero.

    Returns:
        float32 [lists, n, d] or [lists, n, d + 1], and bool [lists, n], whether there is a vector.
    """
    length = np.sqrt(np.einsum("lnd,lnd->ln", vectors, vectors))
    there = length > 1e-12
    unit = np.empty((*vectors.shape[:2], vectors.shape[2] + append_bias), np.float32)
    np.divide(vectors, np.where(there, length, 1)[..., None], out=unit[..., : vectors.shape[2]], casting="same_kind")
    if append_bias:
        unit[..., -1] = there
    return unit, there


def products(vectors: Floats, one: Floats) -> Floats:
    """Dot products of each list's vectors with one vector a list: float [lists, n].

    Args:
        vectors: float [lists, n, d].
        one: float [lists, d].
    """
    found: Floats = np.matmul(vectors, one[..., None])[..., 0]
    return found


def fill_absent(values: Floats, there: Bools, left: Bools) -> Floats:
    """Give candidates without a vector the mean of those that have one and are left; 0 where none has.

    An item of which nothing is known is thereby neither preferred nor passed over for its novelty.

    Args:
        values: float [lists, n].
        there: bool [lists, n], whether there is a vector.
        left: bool [lists, n], candidates that were not chosen yet.

    Returns:
        float [lists, n].
    """
    if there.all():
        return values
    counted = there & left
    mean = (values * counted).sum(1, keepdims=True) / np.maximum(counted.sum(1, keepdims=True), 1)
    return np.where(there, values, mean)
