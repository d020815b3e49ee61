"""Ranking metrics of many users at once, from the hits in their lists and their numbers of relevant items.

Each metric is ``f(hits bool [n, k], n_relevant int [n]) -> float64 [n]``: column r of ``hits`` is True where the item
at rank r + 1 is relevant, ``n_relevant`` counts all relevant items of the user, in the list or not. A user without
relevant items gets 0 (``evaluate_lists`` leaves such users out).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Floats = NDArray[np.float64]
Numbers = NDArray[np.integer] | NDArray[np.floating]
RankingFunction = Callable[[Hits, IntArray], Floats]


def recall(hits: Hits, n_relevant: IntArray) -> Floats:
    """Hits / relevant items."""
    return _ratio(hits.sum(axis=1), n_relevant)


def capped_recall(hits: Hits, n_relevant: IntArray) -> Floats:
    """Hits / min(k, relevant items): 1 is always reachable."""
    return _ratio(hits.sum(axis=1), np.minimum(n_relevant, hits.shape[1]))


def precision(hits: Hits, n_relevant: IntArray) -> Floats:
    """Hits / k, also where fewer than k items could be ranked."""
    return _ratio(hits.sum(axis=1), np.full(len(hits), hits.shape[1]))


def hit_rate(hits: Hits, n_relevant: IntArray) -> Floats:
    """1 if any relevant item is in the list."""
    hit: Floats = np.any(hits, axis=1).astype(np.float64)
    return hit


def ndcg(hits: Hits, n_relevant: IntArray) -> Floats:
    """Binary NDCG (Jarvelin and Kekalainen 2002): sum of 1 / log2(rank + 1) over hits, over the best possible sum.

    The best possible list holds min(k, relevant items) relevant items at its head.
    """
    discount = 1.0 / np.log2(np.arange(hits.shape[1]) + 2.0)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    return _ratio(hits @ discount, ideal[np.minimum(n_relevant, hits.shape[1])])


def graded_ndcg(grades: Floats, ideal: Floats) -> Floats:
    """NDCG with the gain 2^grade - 1 and the discount 1 / log2(rank + 1).

    Args:
        grades: float [n, k], grade of the item at each rank, 0 where not relevant.
        ideal: float [n, k], the user's k highest grades, falling, padded with 0.

    Returns:
        float64 [n]; 0 for users without a positive grade.
    """
    discount = 1.0 / np.log2(np.arange(grades.shape[1]) + 2.0)
    return _ratio((np.exp2(grades) - 1.0) @ discount, (np.exp2(ideal) - 1.0) @ discount)


def mrr(hits: Hits, n_relevant: IntArray) -> Floats:
    """1 / rank of the first relevant item, 0 if none is in the list."""
    first: Floats = 1.0 / (hits.argmax(axis=1) + 1.0)
    return np.where(hits.any(axis=1), first, 0.0)


def mrr_mind(hits: Hits, n_relevant: IntArray) -> Floats:
    """Sum of 1 / rank over *all* hits / relevant items, as the MIND news data set's evaluation defines MRR."""
    return _ratio(hits @ (1.0 / np.arange(1.0, hits.shape[1] + 1.0)), n_relevant)


def mean_average_precision(hits: Hits, n_relevant: IntArray) -> Floats:
    """Sum over hits of the precision at their rank / min(k, relevant items)."""
    at_rank = np.cumsum(hits, axis=1) / np.arange(1.0, hits.shape[1] + 1.0)
    return _ratio((at_rank * hits).sum(axis=1), np.minimum(n_relevant, hits.shape[1]))


def _ratio(part: Numbers, whole: Numbers) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


@dataclass(frozen=True)
class RankingMetric:
    """A metric as the command line lists it.

    Attributes:
        name: as users write it.
        function: computes it.
        summary: one line of description.
    """

    name: str
    function: RankingFunction
    summary: str


def _table(*functions: tuple[str, RankingFunction]) -> dict[str, RankingMetric]:
    return {name: RankingMetric(name, f, (f.__doc__ or "").splitlines()[0]) for name, f in functions}


METRICS: dict[str, RankingMetric] = _table(
    ("recall", recall),
    ("capped_recall", capped_recall),
    ("ndcg", ndcg),
    ("hit_rate", hit_rate),
    ("mrr", mrr),
    ("mrr_mind", mrr_mind),
    ("map", mean_average_precision),
    ("precision", precision),
)
"""All ranking metrics, by the name that ``evaluate_lists`` and the command line use."""
