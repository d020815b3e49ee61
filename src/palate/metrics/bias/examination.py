"""Examination probabilities of positions, estimated from clicks.

Position-based model (Craswell et al., WSDM 2008): P(click) = e_k r, with e_k the probability that position k is
examined and r the relevance of what is shown there. Both are known up to one factor; here e is 1 at the first position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]
SMALL = 1e-9
NEWTON_STEPS = 2
RIDGE = 1e-3
"""Penalty of the squared weights of features, in events; keeps the regression finite where data separate."""


@dataclass(frozen=True, eq=False)
class PositionModel:
    """A fitted position-based model.

    Attributes:
        examination: float64 [positions], 1 at the first.
        relevance: float64 [pairs], P(click) at the first position of each pair, or of each event where features were
            given.
        weights: float64 [d + 1] of the features and the intercept, None for pairs; they give the relevance before it is
            scaled to the first position.
        log_likelihood: of all clicks, in nats.
        iterations: of the EM algorithm.
    """

    examination: Floats
    relevance: Floats
    weights: Floats | None
    log_likelihood: float
    iterations: int


def examination_by_propensity(
    clicks: ArrayLike, positions: ArrayLike, propensities: ArrayLike | None = None, clip: float = 0.0
) -> Floats:
    """Estimate examination from a log whose policy is known, by inverse propensities.

    e_k is proportional to the mean of click / P(item | context, position k) over the events at position k, if at every
    position each candidate could be shown (the importance-weighted form of Joachims et al., WSDM 2017, of which
    randomised positions are the case of equal propensities).

    Args:
        clicks: 0/1 [n].
        positions: [n], 0-based.
        propensities: float [n] in (0, 1], P(the policy shows the item there); None if positions were drawn at random.
        clip: smaller propensities count as this one, for less variance at the price of bias.

    Returns:
        float64 [positions], 1 at the first.

    Raises:
        DataError: shapes differ, a label is not 0 or 1, a propensity lies outside (0, 1], a position was never shown,
            or the first was never clicked.
    """
    marks, places, shown = _events(clicks, positions)
    weight = np.ones(len(marks))
    if propensities is not None:
        chance = np.asarray(propensities, np.float64)
        if chance.shape != marks.shape:
            raise DataError(f"{chance.shape} propensities for {len(marks)} clicks", hint="both need [n]")
        bad = ~((chance > 0) & (chance <= 1))
        if bad.any():
            raise DataError("a propensity lies outside (0, 1]", row=int(bad.argmax()) + 1)
        weight = 1.0 / np.maximum(chance, clip)
    total = np.bincount(places, weights=weight * marks) / shown
    if total[0] == 0:
        raise DataError("the first position was never clicked", hint="examination is relative to it; take more events")
    return np.asarray(total / total[0])


def fit_position_model(
    clicks: ArrayLike,
    positions: ArrayLike,
    pairs: ArrayLike | None = None,
    features: ArrayLike | None = None,
    max_iterations: int = 500,
    tolerance: float = 1e-7,
) -> PositionModel:
    """Fit a position-based model to clicks by EM (Wang et al., WSDM 2018).

    The relevance is either free for each pair (query and item, or whatever was shown at several positions), or a
    logistic function of features, which needs no pair to be shown twice. The features have to say what the policy
    looked at when it chose positions; else position and relevance cannot be told apart.

    Args:
        clicks: 0/1 [n].
        positions: [n], 0-based.
        pairs: [n], any ids.
        features: float [n, d], without an intercept.
        max_iterations: of the EM algorithm.
        tolerance: stop once the mean log-likelihood grows by less.

    Returns:
        The model; ``relevance`` is in the order of the sorted distinct pairs.

    Raises:
        ConfigError: not exactly one of ``pairs`` and ``features`` is given.
        DataError: shapes differ, a label is not 0 or 1, a feature is not finite, there are no clicks, or a position
            was never shown.
    """
    if (pairs is None) == (features is None):
        raise ConfigError("give either pairs or features", key="pairs")
    marks, places, shown = _events(clicks, positions)
    if not marks.any():
        raise DataError("there are no clicks", hint="examination cannot be told from an unclicked log")
    if pairs is not None:
        owners = np.asarray(pairs)
        if owners.shape != marks.shape:
            raise DataError(f"{owners.shape} pairs for {len(marks)} clicks", hint="both need [n]")
        return _em(*_cells(marks, places, owners), None, shown, max_iterations, tolerance)
    table = np.asarray(features, np.float64)
    if table.ndim != 2 or len(table) != len(marks):
        raise DataError(f"features of shape {table.shape} for {len(marks)} clicks", hint="they need [n, d]")
    if not np.isfinite(table).all():
        raise DataError("a feature is not finite", row=int((~np.isfinite(table)).any(axis=1).argmax()) + 1)
    table = np.column_stack([table, np.ones(len(table))])
    rows = np.arange(len(marks))
    return _em(places, rows, np.ones(len(marks)), marks, table, shown, max_iterations, tolerance)


def _em(
    place: IntArray,
    owner: IntArray,
    count: Floats,
    clicked: Floats,
    table: Floats | None,
    shown: Floats,
    max_iterations: int,
    tolerance: float,
) -> PositionModel:
    """EM over cells: ``count`` events of one owner at one place, ``clicked`` of them clicked."""
    seen = np.bincount(owner, weights=count)
    start = min(2 * clicked.sum() / count.sum(), 0.5)
    examination, relevance = np.full(len(shown), 0.5), np.full(len(seen), start)
    weights = None if table is None else np.append(np.zeros(table.shape[1] - 1), np.log(start / (1 - start)))
    best, iterations = -np.inf, 0
    while iterations < max_iterations:
        e, r = examination[place], relevance[owner]
        missed = np.maximum(1 - e * r, SMALL)
        likelihood = float((clicked * np.log(np.maximum(e * r, SMALL)) + (count - clicked) * np.log(missed)).sum())
        if likelihood - best < tolerance * count.sum():
            break
        best, iterations = likelihood, iterations + 1
        examined = clicked + (count - clicked) * e * (1 - r) / missed
        liked = clicked + (count - clicked) * r * (1 - e) / missed
        examination = np.clip(np.bincount(place, weights=examined) / shown, SMALL, 1 - SMALL)
        if table is None or weights is None:
            relevance = np.clip(np.bincount(owner, weights=liked) / seen, SMALL, 1 - SMALL)
        else:
            weights = _logistic(table, liked, weights)
            relevance = 1 / (1 + np.exp(-np.clip(table @ weights, -30, 30)))
    scale = examination[0]
    return PositionModel(examination / scale, relevance * scale, weights, best, iterations)


def _logistic(table: Floats, targets: Floats, weights: Floats) -> Floats:
    """A few Newton steps of logistic regression on targets in [0, 1]."""
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(table @ weights, -30, 30)))
        slope = table.T @ (targets - chance) - RIDGE * weights
        curve = (table * (chance * (1 - chance))[:, None]).T @ table + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(curve, slope)
    return weights


def _cells(marks: Floats, places: IntArray, owners: NDArray[np.generic]) -> tuple[IntArray, IntArray, Floats, Floats]:
    """Place, owner, events and clicks of each combination that occurs."""
    _, owner = np.unique(owners, return_inverse=True)
    width = int(places.max()) + 1
    keys, cell = np.unique(owner * width + places, return_inverse=True)
    count, clicked = np.bincount(cell), np.bincount(cell, weights=marks)
    return (
        (keys % width).astype(np.int64),
        (keys // width).astype(np.int64),
        count.astype(np.float64),
        clicked.astype(np.float64),
    )


def _events(clicks: ArrayLike, positions: ArrayLike) -> tuple[Floats, IntArray, Floats]:
    """Clicks as float64 [n], positions as int64 [n], and how often each position was shown."""
    marks, places = np.asarray(clicks, np.float64), np.asarray(positions)
    if marks.ndim != 1 or marks.shape != places.shape or not len(marks):
        raise DataError(f"clicks of shape {marks.shape} and positions of shape {places.shape}", hint="both need [n]")
    wrong = (marks != 0) & (marks != 1)
    if wrong.any():
        raise DataError("a click is neither 0 nor 1", row=int(wrong.argmax()) + 1)
    negative = ~(places >= 0)
    if negative.any():
        raise DataError(
            "a position is unknown or below 0", row=int(negative.argmax()) + 1, hint="leave such events out"
        )
    places = places.astype(np.int64)
    shown = np.bincount(places).astype(np.float64)
    if (shown == 0).any():
        raise DataError("a position was never shown", key=int((shown == 0).argmax()), hint="number positions from 0")
    return marks, places, shown
