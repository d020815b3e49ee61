"""Metrics of relevance from clicks, each weighted by the inverse of the probability that it was examined.

The expectation of a click c is e r, with examination e and relevance r, so that c / e is an unbiased label of relevance
and 1 - c / e one of irrelevance (Saito et al., WSDM 2020). Metrics that are linear in labels, or in pairs of them, are
estimated with these labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import DataError
from palate.metrics.grouped import check_labelled

Floats = NDArray[np.float64]


def unbiased_auc(
    clicks: ArrayLike, scores: ArrayLike, examination: ArrayLike, weights: ArrayLike | None = None, clip: float = 0.05
) -> float:
    """P(a relevant event outranks an irrelevant one), a tie counting one half, estimated from clicks.

    Sum over pairs of y_i (1 - y_j) [s_i > s_j] / sum over pairs of y_i (1 - y_j), with y = click / examination; an
    event is not paired with itself.

    Args:
        clicks: 0/1 [n].
        scores: float [n], higher is more likely relevant.
        examination: float [n] in (0, 1], of each event.
        weights: float [n] >= 0, of each event, such as 1 / propensity, to estimate the metric under another policy.
        clip: smaller examination counts as this one, for less variance at the price of bias.

    Raises:
        DataError: shapes differ, a label is not 0 or 1, a score is NaN, examination lies outside (0, 1], or the clicks
            leave no relevant or no irrelevant events.
    """
    labels, values, weight = _relevance(clicks, scores, examination, weights, clip)
    relevant, irrelevant = weight * labels, weight * (1 - labels)
    _, level = np.unique(values, return_inverse=True)
    by_level = np.bincount(level, weights=irrelevant)
    below = np.cumsum(by_level) - by_level / 2
    own = relevant * irrelevant
    wins = float((relevant * below[level]).sum() - own.sum() / 2)
    pairs = float(relevant.sum() * irrelevant.sum() - own.sum())
    if not pairs > 0:
        raise DataError("the clicks leave no relevant or no irrelevant events", hint="take more events")
    return wins / pairs


def unbiased_log_loss(
    clicks: ArrayLike,
    probabilities: ArrayLike,
    examination: ArrayLike,
    weights: ArrayLike | None = None,
    clip: float = 0.05,
    epsilon: float = 1e-15,
) -> float:
    """Mean of -y ln p - (1 - y) ln(1 - p) in nats with y = click / examination: log loss of relevance.

    Args:
        clicks: 0/1 [n].
        probabilities: float [n], predicted relevance.
        examination: float [n] in (0, 1], of each event.
        weights: float [n] >= 0, as in :func:`unbiased_auc`.
        clip: smaller examination counts as this one.
        epsilon: p is clipped to [epsilon, 1 - epsilon].

    Raises:
        DataError: shapes differ, a label is not 0 or 1, a probability lies outside [0, 1], examination outside (0, 1],
            or all weights are 0.
    """
    labels, values, weight = _relevance(clicks, probabilities, examination, weights, clip)
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise DataError(
            "a probability lies outside [0, 1]", row=int(outside.argmax()) + 1, hint="apply a sigmoid to logits"
        )
    if not weight.sum() > 0:
        raise DataError("all weights are 0", column="weights")
    p = np.clip(values, epsilon, 1 - epsilon)
    return float(np.average(-labels * np.log(p) - (1 - labels) * np.log1p(-p), weights=weight))


def _relevance(
    clicks: ArrayLike, scores: ArrayLike, examination: ArrayLike, weights: ArrayLike | None, clip: float
) -> tuple[Floats, Floats, Floats]:
    marks, values = check_labelled(clicks, scores)
    chance = np.asarray(examination, np.float64)
    weight = np.ones(len(marks)) if weights is None else np.asarray(weights, np.float64)
    for name, column in (("examination", chance), ("weights", weight)):
        if column.shape != marks.shape:
            raise DataError(f"{column.shape} values for {len(marks)} clicks", column=name)
    bad = ~((chance > 0) & (chance <= 1))
    if bad.any():
        raise DataError("must lie in (0, 1]", column="examination", row=int(bad.argmax()) + 1)
    bad = ~((weight >= 0) & np.isfinite(weight))
    if bad.any():
        raise DataError("must be at least 0 and finite", column="weights", row=int(bad.argmax()) + 1)
    return marks / np.maximum(chance, clip), values, weight
