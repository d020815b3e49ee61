"""Rank items for held-out queries with a scorer, and compute metrics by user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.data.views import EvaluationQueries
from palate.metrics.lists import evaluate_lists
from palate.ranking.scorer import Scorer

CHUNK = 4096
"""Queries ranked at once."""


class RandomFill(Scorer):
    """A scorer with unknown items after all others, in a pseudo-random order for each user.

    Without this an ID-only model would rank cold items by row number, which in real catalogues follows age and
    popularity and so flatters it.

    Args:
        base: any scorer, also one that only lists.
        unknown: bool [N], items that ``base`` cannot score.
    """

    def __init__(self, base: Scorer, unknown: NDArray[np.bool_]) -> None:
        super().__init__(base.n_items)
        self.base, self.unknown = base, unknown
        self.order = _HashedOrder(unknown)

    @property
    def can_score(self) -> bool:
        """As ``base``."""
        return self.base.can_score

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        """As the base scorer; unknown items get huge negative scores from a hash of (user, item)."""
        scores = self.base.score(users).clone()
        scores[:, self.order.rows] = self.order.hashed(users, scores.dtype)
        return scores if items is None else scores[:, torch.as_tensor(items)]

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """The base's own list of known items; only lists that come short are filled with unknown items."""
        candidates = np.ones(self.n_items, bool) if allowed is None else _as_mask(allowed, self.n_items)
        ids, scores = self.base.topk(users, k, exclude, candidates & ~self.unknown)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            excluded = None if exclude is None else exclude.take(short)
            fill = self.order.topk(users.take(short), k, excluded, candidates)
            both = np.concatenate([ids[short], fill[0]], 1)
            place = np.argsort(both < 0, axis=1, kind="stable")[:, :k]
            ids[short] = np.take_along_axis(both, place, 1)
            scores[short] = np.take_along_axis(np.concatenate([scores[short], fill[1]], 1), place, 1)
        return ids, scores


class _HashedOrder(Scorer):
    """Unknown items alone, scored by a hash of (user, item)."""

    def __init__(self, unknown: NDArray[np.bool_]) -> None:
        super().__init__(len(unknown))
        self.rows = torch.as_tensor(np.flatnonzero(unknown))

    def hashed(self, users: UserBatch, dtype: torch.dtype) -> Tensor:
        """Scores [B, unknown items], from -2e30 to -1e30."""
        taken = users.history.items if len(users.history.items) else np.zeros(1, np.int64)
        first = taken[np.minimum(users.history.indptr[:-1], len(taken) - 1)]
        keys = torch.as_tensor(users.rows * 7_919 + first + 1)
        mixed = keys[:, None] * 2_654_435_761 + self.rows[None, :] * 40_503_000_017
        mixed = (mixed ^ (mixed >> 15)) * 2_246_822_519
        mixed = (mixed ^ (mixed >> 13)) & 0xFFFFFF
        return -1e30 * (1.0 + mixed.to(dtype) / 0xFFFFFF)

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        scores = torch.full((len(users), self.n_items), -torch.inf)
        scores[:, self.rows] = self.hashed(users, scores.dtype)
        return scores if items is None else scores[:, torch.as_tensor(items)]


def _as_mask(allowed: NDArray[np.bool_] | IntArray, n_items: int) -> NDArray[np.bool_]:
    given = np.asarray(allowed)
    return given.astype(bool) if given.dtype == bool else np.isin(np.arange(n_items), given)


def rank_held_out(scorer: Scorer, queries: EvaluationQueries, k: int) -> IntArray:
    """Rank the candidates of each query; one chunk of scores is in memory at a time.

    Args:
        scorer: of the fitted model.
        queries: users with their held-out items.
        k: list length.

    Returns:
        int64 [len(queries), k], -1 where candidates ran out.
    """
    unknown = ~scorer.scorable()
    if queries.candidates is not None:
        unknown &= queries.candidates
    if unknown.any():
        scorer = RandomFill(scorer, unknown)
    lists = []
    for start in range(0, len(queries), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(queries)))
        lists.append(scorer.topk(queries.users.take(rows), k, queries.exclude.take(rows), queries.candidates)[0])
    return np.concatenate(lists) if lists else np.zeros((0, k), np.int64)


def evaluate_held_out(
    scorer: Scorer, queries: EvaluationQueries, ks: Sequence[int] = (20,), names: Sequence[str] = ("recall",)
) -> dict[str, NDArray[np.float64]]:
    """Compute metrics by user.

    Args:
        scorer: of the fitted model.
        queries: users with their held-out items.
        ks: cut-offs.
        names: see :func:`palate.metrics.lists.evaluate_lists`.

    Returns:
        ``{"recall@20": float64 [len(queries)], ...}``.

    Raises:
        ConfigError: a metric is unknown.
    """
    ids = rank_held_out(scorer, queries, max(ks))
    return dict(evaluate_lists(ids, queries.relevant, ks, names))


def validate(scorer: Scorer, queries: EvaluationQueries, metric: str = "recall@20") -> float:
    """The unrounded mean of one metric over users.

    Args:
        scorer: of the fitted model.
        queries: users with their held-out items.
        metric: name and cut-off.

    Raises:
        ConfigError: the metric is unknown.
    """
    name, _, k = metric.partition("@")
    return float(evaluate_held_out(scorer, queries, (int(k),), (name,))[metric].mean())
