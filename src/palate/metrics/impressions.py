"""Metrics of labelled events of impressions: one value for each unit, for means and for paired tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.metrics.grouped import check_labelled, evaluate_groups

FloatArray = NDArray[np.float64]


def placement_values(labels: ArrayLike, scores: ArrayLike) -> FloatArray:
    """For each positive the share of negatives that score lower, a tie counting one half; their mean is the AUC.

    These are the components of DeLong et al. (Biometrics 1988).

    Args:
        labels: bool or 0/1 [n].
        scores: float [n].

    Returns:
        float64 [positives], in the order of ``labels``; NaN without negatives.

    Raises:
        DataError: shapes differ, a label is not 0 or 1, or a score is NaN.
    """
    positive, values = check_labelled(labels, scores)
    negatives = np.sort(values[~positive])
    positives = values[positive]
    if not len(negatives):
        return np.full(len(positives), np.nan)
    below = np.searchsorted(negatives, positives) + np.searchsorted(negatives, positives, side="right")
    return np.asarray(below / (2 * len(negatives)), np.float64)


def grouped_metrics(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, ks: Sequence[int] = (5, 10)
) -> dict[str, FloatArray]:
    """AUC, MRR, NDCG and log loss within each group, as MIND defines them (Wu et al., ACL 2020).

    ``group_auc`` as :func:`palate.metrics.rating.group_auc`. ``mrr`` is the mean of 1 / rank over all positives of the
    group. ``ndcg@k`` has gain 1 and discount 1 / log2(1 + rank). ``log_loss`` is in nats, of sigmoid(score), the mean
    over the group's events. Ties and groups with one label as in :func:`palate.metrics.grouped.evaluate_groups`.

    Args:
        labels: bool or 0/1 [n].
        scores: float [n], logits.
        groups: [n], any sortable ids.
        ks: cut-offs of NDCG.

    Returns:
        Name -> float64 [groups], groups in ascending order; NaN for a group with one label, except the log loss.

    Raises:
        DataError: shapes differ, a label is not 0 or 1, or a score is NaN.
    """
    cuts = [f"ndcg@{k}" for k in ks]
    values = evaluate_groups(labels, scores, groups, ["auc", "mrr_mind", *cuts, "log_loss"], logits=True)
    renamed = {"group_auc": values["auc"], "mrr": values["mrr_mind"]}
    return renamed | {name: values[name] for name in (*cuts, "log_loss")}
