"""Metrics of labelled events by group: one value for each impression (or user), for means and for paired tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import DataError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def placement_values(labels: ArrayLike, scores: ArrayLike) -> FloatArray:
    """For each positive the share of negatives that score lower, a tie counting one half; their mean is the AUC.

    These are the components of DeLong et al. (Biometrics 1988).

    Args:
        labels: bool or 0/1 [n].
        scores: float [n].

    Returns:
        float64 [positives], in the order of ``labels``; NaN where no negative occurs.

    Raises:
        DataError: when shapes differ or a score is NaN.
    """
    positive, values = _checked(labels, scores)
    others = np.sort(values[~positive])
    mine = values[positive]
    if not len(others):
        return np.full(len(mine), np.nan)
    below = np.searchsorted(others, mine) + np.searchsorted(others, mine, side="right")
    return np.asarray(below / (2 * len(others)), np.float64)


def grouped_metrics(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, ks: Sequence[int] = (5, 10)
) -> dict[str, FloatArray]:
    """AUC, MRR, NDCG and log loss within each group, as MIND defines them (Wu et al., ACL 2020).

    ``group_auc`` as :func:`palate.metrics.rating.group_auc`. ``mrr`` is the mean of 1 / rank over all positives of the
    group. ``ndcg@k`` has gain 1 and discount 1 / log2(1 + rank). ``log_loss`` is in nats, of sigmoid(score), the mean
    over the group's events. Ties are broken by the order of events.

    Args:
        labels: bool or 0/1 [n].
        scores: float [n], logits.
        groups: [n], any sortable ids.
        ks: cut-offs of NDCG.

    Returns:
        Name -> float64 [groups], groups in ascending order; NaN where a group lacks a label that the metric needs.

    Raises:
        DataError: when shapes differ or a score is NaN.
    """
    positive, values = _checked(labels, scores)
    names, owner = np.unique(np.asarray(groups), return_inverse=True)
    if len(owner) != len(values):
        raise DataError(f"{len(owner)} groups for {len(values)} events")
    count = len(names)
    order = np.lexsort((np.arange(len(values)), -values, owner))
    owner, positive, values = owner[order], positive[order], values[order]
    sizes = np.bincount(owner, minlength=count)
    first = np.cumsum(sizes) - sizes
    rank = np.arange(len(values)) - first[owner] + 1
    hits = np.bincount(owner, weights=positive, minlength=count).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = {"group_auc": _auc(owner, positive, values, sizes, hits)}
        out["mrr"] = np.bincount(owner, weights=positive / rank, minlength=count) / np.where(hits > 0, hits, np.nan)
        discount = 1 / np.log2(1 + rank)
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(2 + np.arange(max(max(ks, default=1), 1))))])
        for k in ks:
            gain = np.bincount(owner, weights=positive * discount * (rank <= k), minlength=count)
            best = ideal[np.minimum(hits, k).astype(np.int64)]
            out[f"ndcg@{k}"] = gain / np.where(hits > 0, best, np.nan)
    loss = np.logaddexp(0.0, np.where(positive, -values, values))
    out["log_loss"] = np.bincount(owner, weights=loss, minlength=count) / sizes
    return out


def _auc(
    owner: NDArray[np.int64], positive: BoolArray, values: FloatArray, sizes: NDArray[np.int64], hits: FloatArray
) -> FloatArray:
    """Mann-Whitney within each group; values fall within a group, tied ones share the mean of their ranks."""
    new_run = np.ones(len(values), np.bool_)
    new_run[1:] = (owner[1:] != owner[:-1]) | (values[1:] != values[:-1])
    first = np.flatnonzero(new_run)
    length = np.diff(np.append(first, len(values)))
    place = np.repeat(first + (length + 1) / 2.0, length) - (np.cumsum(sizes) - sizes)[owner]
    from_below = sizes[owner] + 1 - place
    total = np.bincount(owner, weights=from_below * positive, minlength=len(sizes))
    pairs = hits * (sizes - hits)
    return np.asarray((total - hits * (hits + 1) / 2) / np.where(pairs > 0, pairs, np.nan), np.float64)


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[BoolArray, FloatArray]:
    marks, values = np.asarray(labels).astype(bool), np.asarray(scores, np.float64)
    if marks.ndim != 1 or marks.shape != values.shape:
        raise DataError(f"labels of shape {marks.shape} and scores of shape {values.shape}", hint="both need [n]")
    if np.isnan(values).any():
        raise DataError("a score is NaN", row=int(np.isnan(values).argmax()) + 1)
    return marks, values
