"""Metrics of each group of scored candidates: an impression, a user, a text.

Rows are candidates with a label, a score and the id of their group. Every metric is computed for all groups at once and
gives one value a group, so that systems can be compared group by group.

| metric | of a group |
|---|---|
| ``auc`` | probability that a positive outranks a negative, a tie counting one half |
| ``log_loss`` | mean of -y ln p - (1 - y) ln(1 - p) in nats; scores are probabilities, or logits if said so |
| ``ndcg@k`` | binary NDCG of the first k candidates (Jarvelin and Kekalainen 2002) |
| ``hit_rate@k`` | 1 if a positive is among the first k candidates |
| ``mrr`` | 1 / rank of the first positive |
| ``mrr_mind`` | mean of 1 / rank over all positives, as the MIND news data set's evaluation defines MRR |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError, did_you_mean
from palate.core.seeding import rng_for

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroupValues(Mapping[str, Floats]):
    """Values by metric; a mapping, so ``result["auc"]`` is a float64 array.

    Attributes:
        per_group: name -> float64 [g]; NaN for a group whose labels are all equal (except ``log_loss``).
        groups: the group ids [g], ascending.
        samples: int64 [g], candidates of each group.
        positives: int64 [g], positives of each group.
    """

    per_group: dict[str, Floats]
    groups: NDArray[np.generic]
    samples: IntArray
    positives: IntArray

    def __getitem__(self, name: str) -> Floats:
        return self.per_group[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.per_group)

    def __len__(self) -> int:
        return len(self.per_group)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """bool [g], True for groups with both labels."""
        return (self.positives > 0) & (self.positives < self.samples)

    def means(self) -> dict[str, float]:
        """Unweighted mean of each metric over the groups that have a value; NaN if none has."""
        out = {}
        for name, values in self.per_group.items():
            values = values[~np.isnan(values)]
            out[name] = float(values.mean()) if len(values) else float("nan")
        return out


def evaluate_groups(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    names: Sequence[str] = ("auc", "mrr", "ndcg@5", "ndcg@10"),
    *,
    logits: bool = False,
) -> GroupValues:
    """Compute metrics of each group.

    Candidates are ranked by falling score. Equal scores are ordered by a fixed random permutation of the rows, so that
    a constant score ranks by chance, wherever the data have their positives; AUC counts ties by one half instead.

    Args:
        labels: 0/1 [n].
        scores: float [n], higher is more likely positive; probabilities or logits for ``log_loss``.
        groups: [n], any sortable ids, rows in any order.
        names: ``auc``, ``log_loss``, ``mrr``, ``mrr_mind``, or ``ndcg`` and ``hit_rate`` with a cut-off (``ndcg@10``).
        logits: scores are logits.

    Returns:
        Values of each group. A group with one label has NaN, since no ranking of it is better than another; its log
        loss is defined nevertheless.

    Raises:
        DataError: shapes differ, a label is not 0 or 1, a score is NaN, or a probability lies outside [0, 1].
        ConfigError: an unknown metric, or a missing or superfluous cut-off.

    Examples:
        >>> labels, scores = [1, 0, 0, 1, 1], [0.9, 0.1, 0.4, 0.3, 0.5]
        >>> result = evaluate_groups(labels, scores, ["a", "a", "b", "b", "c"], ["auc", "mrr"])
        >>> result.groups.tolist(), result["auc"].tolist(), result["mrr"].tolist()
        (['a', 'b', 'c'], [1.0, 0.0, nan], [1.0, 0.5, nan])
    """
    marks, values = check_labelled(labels, scores)
    owners = np.asarray(groups)
    if owners.shape != marks.shape:
        raise DataError(f"{owners.shape} groups for {len(marks)} labels")
    plan = [(name, *_parse(name)) for name in names]
    ids, owner = np.unique(owners, return_inverse=True)
    rows = GroupedRows(marks, values, owner.astype(np.int64), len(ids), logits)
    both = (rows.positives > 0) & (rows.positives < rows.samples)
    per_group = {}
    for name, function, k in plan:
        value = function(rows, k)
        per_group[name] = value if function is log_loss else np.where(both, value, np.nan)
    return GroupValues(per_group, ids, rows.samples, rows.positives)


@dataclass(frozen=True, eq=False)
class GroupedRows:
    """Candidates of several groups, with the rankings that metrics share.

    Attributes:
        labels: bool [n].
        scores: float64 [n].
        owner: int64 [n], group of each row, 0..n_groups-1.
        n_groups: number of groups.
        logits: scores are logits.
    """

    labels: NDArray[np.bool_]
    scores: Floats
    owner: IntArray
    n_groups: int
    logits: bool = False

    @cached_property
    def samples(self) -> IntArray:
        """int64 [n_groups]."""
        return np.bincount(self.owner, minlength=self.n_groups).astype(np.int64)

    @cached_property
    def positives(self) -> IntArray:
        """int64 [n_groups]."""
        return np.bincount(self.owner[self.labels], minlength=self.n_groups).astype(np.int64)

    @cached_property
    def order(self) -> IntArray:
        """int64 [n]: rows by group and falling score, ties by a fixed random permutation."""
        rows = rng_for(0, "ties of groups").permutation(len(self.labels))
        # sorting is stable, so permuted rows with equal keys stay permuted
        order: IntArray = rows[np.lexsort((-self.scores[rows], self.owner[rows]))]
        return order

    @cached_property
    def rank(self) -> IntArray:
        """int64 [n]: 0-based rank within its group of each row, in ``order``."""
        start = np.cumsum(self.samples) - self.samples
        return np.arange(len(self.order)) - start[self.owner[self.order]]

    @cached_property
    def hits(self) -> tuple[IntArray, IntArray]:
        """Group and 0-based rank of each positive, int64 [p] each, by group and rank."""
        positive = self.labels[self.order]
        return self.owner[self.order][positive], self.rank[positive]

    def total(self, owner: IntArray, values: NDArray[np.floating]) -> Floats:
        """Sum of ``values`` [m] by ``owner`` [m], float64 [n_groups]."""
        return np.bincount(owner, weights=values, minlength=self.n_groups).astype(np.float64)


def auc(rows: GroupedRows, k: int = 0) -> Floats:
    """AUC of each group; 0 for a group with one label."""
    owner, scores, labels = rows.owner[rows.order], rows.scores[rows.order], rows.labels[rows.order]
    # Mann-Whitney: tied scores within a group share the mean of their ranks, counted from the lowest score
    new_run = np.ones(len(owner), np.bool_)
    new_run[1:] = (owner[1:] != owner[:-1]) | (scores[1:] != scores[:-1])
    first = np.flatnonzero(new_run)
    length = np.diff(np.append(first, len(owner)))
    shared = np.repeat(rows.rank[first] + (length + 1) / 2.0, length)
    from_lowest = (rows.samples[owner] + 1 - shared)[labels]
    n_pos, n_neg = rows.positives, rows.samples - rows.positives
    wins = rows.total(owner[labels], from_lowest) - n_pos * (n_pos + 1) / 2.0
    return _ratio(wins, (n_pos * n_neg).astype(np.float64))


def log_loss(rows: GroupedRows, k: int = 0) -> Floats:
    """Mean log loss of each group in nats.

    Raises:
        DataError: a probability lies outside [0, 1].
    """
    if rows.logits:
        loss = np.logaddexp(0.0, np.where(rows.labels, -rows.scores, rows.scores))
    else:
        loss = sample_log_loss(rows.labels, rows.scores)
    return rows.total(rows.owner, loss) / rows.samples


def ndcg(rows: GroupedRows, k: int) -> Floats:
    """Binary NDCG of the first ``k`` candidates of each group."""
    owner, rank = rows.hits
    inside = rank < k
    gain = rows.total(owner[inside], 1.0 / np.log2(rank[inside] + 2.0))
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])
    return _ratio(gain, ideal[np.minimum(rows.positives, k)])


def hit_rate(rows: GroupedRows, k: int) -> Floats:
    """1 for a group with a positive among its first ``k`` candidates."""
    owner, rank = rows.hits
    return (np.bincount(owner[rank < k], minlength=rows.n_groups) > 0).astype(np.float64)


def mrr(rows: GroupedRows, k: int = 0) -> Floats:
    """1 / rank of the first positive of each group; 0 without positives."""
    owner, rank = rows.hits
    out = np.zeros(rows.n_groups)
    first = np.ones(len(owner), np.bool_)
    first[1:] = owner[1:] != owner[:-1]
    out[owner[first]] = 1.0 / (rank[first] + 1.0)
    return out


def mrr_mind(rows: GroupedRows, k: int = 0) -> Floats:
    """Mean of 1 / rank over the positives of each group; 0 without positives."""
    owner, rank = rows.hits
    return _ratio(rows.total(owner, 1.0 / (rank + 1.0)), rows.positives.astype(np.float64))


GroupFunction = Callable[[GroupedRows, int], Floats]
WHOLE: dict[str, GroupFunction] = {"auc": auc, "log_loss": log_loss, "mrr": mrr, "mrr_mind": mrr_mind}
"""Metrics without a cut-off, by name."""
CUT: dict[str, GroupFunction] = {"ndcg": ndcg, "hit_rate": hit_rate}
"""Metrics that need a cut-off, by name."""


def sample_log_loss(labels: NDArray[np.bool_], probabilities: Floats, epsilon: float = 1e-15) -> Floats:
    """Log loss of each row in nats, probabilities clipped to [epsilon, 1 - epsilon].

    Args:
        labels: bool [n].
        probabilities: float64 [n].
        epsilon: clipping.

    Raises:
        DataError: a probability lies outside [0, 1].
    """
    outside = (probabilities < 0) | (probabilities > 1)
    if outside.any():
        raise DataError(
            "a probability lies outside [0, 1]", row=int(outside.argmax()) + 1, hint="apply a sigmoid to logits"
        )
    p = np.clip(probabilities, epsilon, 1.0 - epsilon)
    loss: Floats = -np.where(labels, np.log(p), np.log1p(-p))
    return loss


def check_labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Labels as bool [n] and scores as float64 [n].

    Raises:
        DataError: shapes differ, a label is not 0 or 1, or a score is NaN.
    """
    marks, values = np.asarray(labels), np.asarray(scores, np.float64)
    if marks.ndim != 1 or marks.shape != values.shape:
        raise DataError(f"labels of shape {marks.shape} and scores of shape {values.shape}", hint="both need [n]")
    binary = (marks == 0) | (marks == 1)
    if not binary.all():
        raise DataError("a label is neither 0 nor 1", row=int((~binary).argmax()) + 1)
    if np.isnan(values).any():
        raise DataError("a score is NaN", row=int(np.isnan(values).argmax()) + 1)
    return marks == 1, values


def _parse(name: str) -> tuple[GroupFunction, int]:
    metric, cut, k = name.partition("@")
    if metric in CUT:
        if not k.isdigit() or int(k) < 1:
            raise ConfigError("needs a cut-off", key=name, hint=f"for example {metric}@10")
        return CUT[metric], int(k)
    if metric not in WHOLE:
        raise ConfigError("unknown metric of groups", key=name, hint=did_you_mean(metric, (*WHOLE, *CUT)))
    if cut:
        raise ConfigError("takes no cut-off", key=name, hint=f"use {metric}")
    return WHOLE[metric], 0


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
