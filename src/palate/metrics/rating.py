"""Metrics of predicted probabilities and ratings: AUC and its grouped forms, log loss, RMSE, MAE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroupAUC:
    """AUC within each group that has both labels.

    Attributes:
        groups: the group ids kept, ascending. auc: float64, aligned. samples, positives: int64, aligned.
        skipped: groups left out because all their labels are equal.
    """

    groups: NDArray[np.generic]
    auc: Floats
    samples: IntArray
    positives: IntArray
    skipped: int


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, a tie counting one half.

    Args:
        labels: 0/1 [n]. scores: float [n], higher is more likely positive.

    Raises:
        DataError: only one label occurs, a label is not 0 or 1, or a score is NaN.
    """
    labels, scores = _labelled(labels, scores)
    return float(_grouped(labels, scores, np.zeros(len(labels), np.int64)).auc[0])


def group_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> GroupAUC:
    """AUC within each group (user or impression); groups with one label are skipped and counted.

    Args:
        labels: 0/1 [n]. scores: float [n]. groups: [n], any sortable ids.

    Raises:
        DataError: as in :func:`auc`; no group has both labels.
    """
    labels, scores = _labelled(labels, scores)
    owners = np.asarray(groups)
    if owners.shape != labels.shape:
        raise DataError(f"{owners.shape} groups for {len(labels)} labels")
    return _grouped(labels, scores, owners)


def gauc(labels: ArrayLike, scores: ArrayLike, users: ArrayLike, weight: str = "impressions") -> float:
    """Mean of the users' AUC, weighted by their samples (DIN, Zhou et al., KDD 2018); one-label users are skipped.

    Args:
        labels: 0/1 [n]. scores: float [n]. users: [n].
        weight: ``impressions`` (all samples of the user) or ``positives``.
    """
    found = group_auc(labels, scores, users)
    weights = {"impressions": found.samples, "positives": found.positives}.get(weight)
    if weights is None:
        raise ConfigError("unknown weight", key=weight, hint="impressions or positives")
    return float(np.average(found.auc, weights=weights))


def mean_auc(labels: ArrayLike, scores: ArrayLike, impressions: ArrayLike) -> float:
    """Unweighted mean of the AUC per impression (MIND); one-label impressions are skipped."""
    return float(group_auc(labels, scores, impressions).auc.mean())


def logloss(labels: ArrayLike, probabilities: ArrayLike, epsilon: float = 1e-15) -> float:
    """Mean of -y ln p - (1 - y) ln(1 - p) in nats, p clipped to [epsilon, 1 - epsilon].

    Raises:
        DataError: a label is not 0 or 1, or a probability lies outside [0, 1].
    """
    labels, p = _labelled(labels, probabilities)
    outside = (p < 0) | (p > 1)
    if outside.any():
        raise DataError(
            "a probability lies outside [0, 1]", row=int(outside.argmax()) + 1, hint="apply a sigmoid to logits"
        )
    p = np.clip(p, epsilon, 1.0 - epsilon)
    return float(-np.where(labels, np.log(p), np.log1p(-p)).mean())


def rmse(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the targets."""
    return float(np.sqrt(np.square(_errors(targets, predictions)).mean()))


def mae(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Mean absolute error, in the unit of the targets."""
    return float(np.abs(_errors(targets, predictions)).mean())


def _grouped(labels: NDArray[np.bool_], scores: Floats, groups: NDArray[np.generic]) -> GroupAUC:
    names, owner = np.unique(groups, return_inverse=True)
    order = np.lexsort((scores, owner))
    owner, scores, labels = owner[order], scores[order], labels[order]
    # Mann-Whitney: tied scores within a group share the mean of their ranks.
    new_run = np.ones(len(order), np.bool_)
    new_run[1:] = (owner[1:] != owner[:-1]) | (scores[1:] != scores[:-1])
    first = np.flatnonzero(new_run)
    length = np.diff(np.append(first, len(order)))
    samples = np.bincount(owner, minlength=len(names))
    start = np.cumsum(samples) - samples
    rank = np.repeat(first + (length + 1) / 2.0, length) - start[owner]
    positives = np.bincount(owner, weights=labels, minlength=len(names)).astype(np.int64)
    rank_sum = np.bincount(owner, weights=rank * labels, minlength=len(names))
    both = (positives > 0) & (positives < samples)
    if not both.any():
        raise DataError("only one label occurs", hint="AUC needs positives and negatives (in at least one group)")
    n_pos, n_all = positives[both], samples[both]
    value = (rank_sum[both] - n_pos * (n_pos + 1) / 2.0) / (n_pos * (n_all - n_pos)).astype(np.float64)
    return GroupAUC(names[both], value, n_all, n_pos, int((~both).sum()))


def _labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    marks, values = np.asarray(labels), np.asarray(scores, np.float64)
    if marks.ndim != 1 or marks.shape != values.shape or len(marks) == 0:
        raise DataError(
            f"labels of shape {marks.shape} and scores of shape {values.shape}", hint="both need [n], n > 0"
        )
    known = (marks == 0) | (marks == 1)
    if not known.all():
        raise DataError("a label is neither 0 nor 1", row=int((~known).argmax()) + 1)
    if np.isnan(values).any():
        raise DataError("a score is NaN", row=int(np.isnan(values).argmax()) + 1)
    return marks == 1, values


def _errors(targets: ArrayLike, predictions: ArrayLike) -> Floats:
    wanted, given = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if wanted.shape != given.shape or wanted.size == 0:
        raise DataError(f"targets of shape {wanted.shape} and predictions of shape {given.shape}")
    error: Floats = (given - wanted).ravel()
    if not np.isfinite(error).all():
        raise DataError("a target or prediction is not finite", row=int((~np.isfinite(error)).argmax()) + 1)
    return error
