"""Evaluate ranked lists against relevant items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError, DataError, did_you_mean
from palate.metrics.ranking import METRICS, Floats, Hits, IntArray, graded_ndcg


@dataclass(frozen=True, eq=False)
class Evaluated(Mapping[str, Floats]):
    """Per-user values by ``metric@k``; a mapping, so ``result["recall@20"]`` is a float64 array.

    Attributes:
        per_user: name to float64 [n evaluated].
        users: int64 [n evaluated], the rows (of the lists given) that the values belong to.
        skipped: rows left out because nothing is relevant to them.
    """

    per_user: dict[str, Floats]
    users: IntArray
    skipped: int

    def __getitem__(self, name: str) -> Floats:
        return self.per_user[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.per_user)

    def __len__(self) -> int:
        return len(self.per_user)

    def means(self) -> dict[str, float]:
        """Mean of each metric over evaluated users."""
        return {name: float(value.mean()) for name, value in self.per_user.items()}


def evaluate_lists(
    ids: IntArray,
    relevant: RaggedArray,
    ks: Sequence[int] = (10, 20),
    names: Sequence[str] = ("recall", "ndcg"),
    grades: NDArray[np.floating] | None = None,
) -> Evaluated:
    """Compute metrics of ranked lists, by user.

    Users without relevant items cannot be judged: they are left out of every array, and counted in ``skipped``.

    Args:
        ids: int64 [n, K], item rows, best first, -1 where a list is shorter. K covers the largest of ``ks``.
        relevant: n lists of relevant item rows; a repeated item counts once.
        ks: cut-offs.
        names: keys of :data:`palate.metrics.ranking.METRICS`, or ``graded_ndcg`` where ``grades`` are given.
        grades: aligned with ``relevant.items``, not negative; a repeated item has its higher grade.

    Raises:
        ConfigError: an unknown metric, a cut-off beyond the lists, or ``graded_ndcg`` without grades.
        DataError: shapes differ, a list has an item twice or an item after a gap, or no user can be judged.
    """
    ids = np.asarray(ids)
    _check(ids, relevant, ks, names, grades)
    sorted_relevant, gains = _unique(relevant, grades)
    users = np.flatnonzero(sorted_relevant.lengths > 0)
    if len(users) == 0:
        raise DataError("no user has a relevant item", hint="is the part of the split that is evaluated empty?")
    place = _places(ids, sorted_relevant)[users]
    hits, n_relevant = place >= 0, sorted_relevant.lengths[users]
    values: dict[str, Floats] = {}
    for name in names:
        for k in ks:
            if name == "graded_ndcg":
                gained = np.where(hits, gains[place], 0.0)[:, :k]
                values[f"{name}@{k}"] = graded_ndcg(gained, _highest(sorted_relevant, gains, k)[users])
            else:
                values[f"{name}@{k}"] = METRICS[name].function(hits[:, :k], n_relevant)
    return Evaluated(values, users, len(ids) - len(users))


def hits_of(ids: IntArray, relevant: RaggedArray) -> Hits:
    """Mark list positions with a relevant item.

    Args:
        ids: int64 [n, K], -1 where a list is shorter.
        relevant: n lists of relevant item rows.

    Returns:
        bool [n, K].
    """
    return _places(np.asarray(ids), _unique(relevant, None)[0]) >= 0


def _check(
    ids: IntArray, relevant: RaggedArray, ks: Sequence[int], names: Sequence[str], grades: NDArray[np.floating] | None
) -> None:
    if ids.ndim != 2 or len(ids) != len(relevant):
        raise DataError(f"ranked lists of shape {ids.shape} for {len(relevant)} lists of relevant items")
    for k in ks:
        if not 1 <= k <= ids.shape[1]:
            raise ConfigError(f"cut-off {k}, but the lists hold {ids.shape[1]} ranks", key="ks")
    known = (*METRICS, "graded_ndcg")
    for name in names:
        if name not in known:
            raise ConfigError("unknown ranking metric", key=name, hint=did_you_mean(name, known))
    if "graded_ndcg" in names and grades is None:
        raise ConfigError("needs grades", key="graded_ndcg", hint="pass grades= or use ndcg")
    if grades is not None:
        if np.shape(grades) != relevant.items.shape:
            raise DataError(f"{np.shape(grades)} grades for {len(relevant.items)} relevant items")
        if not bool((np.isfinite(grades) & (grades >= 0)).all()):
            raise DataError("a grade is negative or not finite", key="grades")
    empty = ids < 0
    if bool((empty[:, :-1] & ~empty[:, 1:]).any()):
        row = int((empty[:, :-1] & ~empty[:, 1:]).any(axis=1).argmax())
        raise DataError("an item follows a gap in a ranked list", row=row + 1, hint="-1 may only fill a list's end")
    ordered = np.sort(ids, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if bool(twice.any()):
        raise DataError("a ranked list contains an item twice", row=int(twice.argmax()) + 1)


def _unique(relevant: RaggedArray, grades: NDArray[np.floating] | None) -> tuple[RaggedArray, Floats]:
    """Each list sorted and without repeats, and its grades (0 where none are given)."""
    owners = relevant.owners()
    gains = np.zeros(len(owners)) if grades is None else np.asarray(grades, np.float64)
    order = np.lexsort((-gains, relevant.items, owners))
    owners, items, gains = owners[order], relevant.items[order], gains[order]
    first = np.ones(len(items), np.bool_)
    first[1:] = (items[1:] != items[:-1]) | (owners[1:] != owners[:-1])
    return RaggedArray.build(owners[first], items[first], len(relevant)), gains[first]


def _places(ids: IntArray, relevant: RaggedArray) -> IntArray:
    """Index int64 [n, K] of each listed item in ``relevant.items``, -1 where it is not relevant."""
    if len(relevant.items) == 0:
        return np.full(ids.shape, -1, np.int64)
    # one sorted key per (user, item): a single binary search serves all users
    width = int(max(relevant.items.max(), ids.max(initial=0))) + 1
    keys = relevant.owners() * width + relevant.items
    listed = np.arange(len(ids))[:, None] * width + ids
    place = np.minimum(np.searchsorted(keys, listed), len(keys) - 1)
    return np.where((keys[place] == listed) & (ids >= 0), place, -1)


def _highest(relevant: RaggedArray, gains: Floats, k: int) -> Floats:
    """Each user's highest grades, float64 [n, k], falling, padded with 0."""
    owners = relevant.owners()
    order = np.lexsort((-gains, owners))
    rank = np.arange(len(owners)) - relevant.indptr[owners]
    top = np.zeros((len(relevant), k))
    inside = rank < k
    top[owners[inside], rank[inside]] = gains[order][inside]
    return top
