"""Metrics of predicted probabilities and ratings: AUC and its grouped forms, log loss, RMSE, MAE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError
from palate.metrics.grouped import check_labelled, evaluate_groups, sample_log_loss

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroupAUC:
    """AUC within each group that has both labels.

    Attributes:
        groups: ids of these groups, ascending.
        auc: float64, aligned with ``groups``.
        samples: int64, aligned with ``groups``.
        positives: int64, aligned with ``groups``.
        skipped: number of groups left out because all their labels are equal.
    """

    groups: NDArray[np.generic]
    auc: Floats
    samples: IntArray
    positives: IntArray
    skipped: int


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the probability that a positive outranks a negative, a tie counting one half.

    Args:
        labels: 0/1 [n].
        scores: float [n], higher is more likely positive.

    Raises:
        DataError: there are no labels or only one occurs, a label is not 0 or 1, or a score is NaN.
    """
    return float(group_auc(labels, scores, np.zeros(np.shape(labels), np.int64)).auc[0])


def group_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> GroupAUC:
    """AUC within each group (user or impression); groups with one label are skipped and counted.

    Args:
        labels: 0/1 [n].
        scores: float [n].
        groups: [n], any sortable ids.

    Raises:
        DataError: as in :func:`auc`; no group has both labels.
    """
    result = evaluate_groups(labels, scores, groups, ["auc"])
    if not len(result.groups):
        raise DataError("there are no labels", hint="AUC needs positives and negatives")
    both = result.judged
    if not both.any():
        raise DataError("only one label occurs", hint="AUC needs positives and negatives (in at least one group)")
    return GroupAUC(
        result.groups[both], result["auc"][both], result.samples[both], result.positives[both], int((~both).sum())
    )


def gauc(labels: ArrayLike, scores: ArrayLike, users: ArrayLike, weight: str = "impressions") -> float:
    """Weighted mean of the users' AUC (DIN, Zhou et al., KDD 2018); users with one label are skipped.

    Args:
        labels: 0/1 [n].
        scores: float [n].
        users: [n].
        weight: ``impressions`` (all samples of the user) or ``positives``.

    Raises:
        DataError: as in :func:`group_auc`.
        ConfigError: the weight is unknown.
    """
    result = group_auc(labels, scores, users)
    weights = {"impressions": result.samples, "positives": result.positives}.get(weight)
    if weights is None:
        raise ConfigError("unknown weight", key=weight, hint="impressions or positives")
    return float(np.average(result.auc, weights=weights))


def mean_auc(labels: ArrayLike, scores: ArrayLike, impressions: ArrayLike) -> float:
    """Unweighted mean of the AUC per impression (MIND); impressions with one label are skipped.

    Args:
        labels: 0/1 [n].
        scores: float [n].
        impressions: [n].

    Raises:
        DataError: as in :func:`group_auc`.
    """
    return float(group_auc(labels, scores, impressions).auc.mean())


def logloss(labels: ArrayLike, probabilities: ArrayLike, epsilon: float = 1e-15) -> float:
    """Mean of -y ln p - (1 - y) ln(1 - p) in nats.

    Args:
        labels: 0/1 [n].
        probabilities: float [n].
        epsilon: p is clipped to [epsilon, 1 - epsilon].

    Raises:
        DataError: there are no labels, a label is not 0 or 1, or a probability lies outside [0, 1].
    """
    marks, values = check_labelled(labels, probabilities)
    if not len(marks):
        raise DataError("there are no labels", hint="a mean needs at least one sample")
    return float(sample_log_loss(marks, values, epsilon).mean())


def rmse(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the targets.

    Args:
        targets: float [n].
        predictions: float [n].

    Raises:
        DataError: shapes differ, there are no values, or one is not finite.
    """
    return float(np.sqrt(np.square(_errors(targets, predictions)).mean()))


def mae(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Mean absolute error, in the unit of the targets.

    Args:
        targets: float [n].
        predictions: float [n].

    Raises:
        DataError: shapes differ, there are no values, or one is not finite.
    """
    return float(np.abs(_errors(targets, predictions)).mean())


def _errors(targets: ArrayLike, predictions: ArrayLike) -> Floats:
    truth, predicted = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if truth.shape != predicted.shape or truth.size == 0:
        raise DataError(f"targets of shape {truth.shape} and predictions of shape {predicted.shape}")
    error: Floats = (predicted - truth).ravel()
    if not np.isfinite(error).all():
        raise DataError("a target or prediction is not finite", row=int((~np.isfinite(error)).argmax()) + 1)
    return error
