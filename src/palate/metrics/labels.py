"""Metrics of labels: how good are the labels given to items, in each item and over all items.

F1 over all items, and precision averaged over labels, are no means over items. The functions here give each item a
value so that the mean of the values is exactly the metric: for F1 the linear part of its dependence on the item
(F + n (2 tp_i - F (2 tp_i + fp_i + fn_i)) / D with D the sum of 2 tp + fp + fn), whose spread gives the standard error
of the delta method; for the average precision the item's share of the sum over positives, at the ranks as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def item_f1(chosen: Bools, truth: Bools) -> Floats:
    """F1 of each item: 2 |chosen and true| / (|chosen| + |true|), 0 where there is neither.

    Args:
        chosen: bool [n, labels].
        truth: bool [n, labels].
    """
    both: Floats = 2.0 * (chosen & truth).sum(1) / np.maximum(chosen.sum(1) + truth.sum(1), 1)
    return both


def item_average_precision(scores: NDArray[np.floating], truth: Bools) -> Floats:
    """Average precision of each item's labels, ranked by score; of equal scores the first label comes first.

    Args:
        scores: [n, labels].
        truth: bool [n, labels].

    Returns:
        float64 [n], NaN for an item without a label.
    """
    hits = np.take_along_axis(truth, np.argsort(-scores, axis=1, kind="stable"), 1)
    total = np.where(truth.any(1), truth.sum(1), np.nan)
    found: Floats = (np.cumsum(hits, 1) / np.arange(1, truth.shape[1] + 1) * hits).sum(1) / total
    return found


def micro_f1(chosen: Bools, truth: Bools) -> Floats:
    """Values whose mean is the F1 over all pairs of item and label.

    Args:
        chosen: bool [n, labels].
        truth: bool [n, labels].

    Returns:
        float64 [n], NaN where no label is true or chosen.
    """
    parts = np.asarray(2 * (chosen & truth).sum(1), np.float64)
    weights = np.asarray(chosen.sum(1) + truth.sum(1), np.float64)
    return _f1_values(parts[:, None], weights[:, None])[:, 0]


def macro_f1(chosen: Bools, truth: Bools) -> Floats:
    """Values whose mean is the mean F1 over the labels that are true of an item or chosen for one.

    Args:
        chosen: bool [n, labels].
        truth: bool [n, labels].

    Returns:
        float64 [n], NaN where no label is true or chosen.
    """
    used = (chosen | truth).any(0)
    if not used.any():
        return np.full(len(truth), np.nan)
    one, other = chosen[:, used].astype(np.float64), truth[:, used].astype(np.float64)
    values: Floats = _f1_values(2 * one * other, one + other).mean(1)
    return values


def macro_average_precision(scores: NDArray[np.floating], truth: Bools) -> Floats:
    """Values whose mean is the mean over labels of the average precision of items ranked by score (mAP).

    The average precision of a label is the mean over its items of the share of true items among those that score at
    least as high; labels that no item has are left out.

    Args:
        scores: [n, labels].
        truth: bool [n, labels].

    Returns:
        float64 [n], NaN where no label is true of an item.
    """
    n, positives = len(truth), truth.sum(0)
    used = np.flatnonzero(positives)
    if not len(used):
        return np.full(n, np.nan)
    values = np.zeros(n)
    for label in used:
        every, own = np.sort(scores[:, label]), np.flatnonzero(truth[:, label])
        mine = scores[own, label]
        above = n - np.searchsorted(every, mine)
        right = len(own) - np.searchsorted(np.sort(mine), mine)
        values[own] += right / above / len(own)
    return values * n / len(used)


def _f1_values(parts: Floats, weights: Floats) -> Floats:
    """F + n (part - F weight) / sum of weights, by column."""
    total = np.where((whole := weights.sum(0)) > 0, whole, np.nan)
    f1 = parts.sum(0) / total
    values: Floats = f1 + len(parts) * (parts - f1 * weights) / total
    return values
