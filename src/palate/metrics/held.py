"""Answer held-out questions with a scorer: ranked lists, then metrics by user."""

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


class RandomFill(Scorer):
    """Items a model knows nothing about come after all others, in an order drawn for each user.

    Without this an ID-only model would rank cold items by row number, which in real catalogues follows age and
    popularity and so flatters it.
    """

    def __init__(self, base: Scorer, unknown: NDArray[np.bool_]) -> None:
        super().__init__(base.n_items)
        self.base = base
        self.unknown = torch.as_tensor(np.flatnonzero(unknown))

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        """As the base scorer; unknown items get huge negative scores from a hash of (user, item)."""
        scores = self.base.score(users).clone()
        taken = users.history.items if len(users.history.items) else np.zeros(1, np.int64)
        first = taken[np.minimum(users.history.indptr[:-1], len(taken) - 1)]
        keys = torch.as_tensor(users.rows * 7_919 + first + 1)
        mixed = keys[:, None] * 2_654_435_761 + self.unknown[None, :] * 40_503_000_017
        mixed = (mixed ^ (mixed >> 15)) * 2_246_822_519
        mixed = (mixed ^ (mixed >> 13)) & 0xFFFFFF
        scores[:, self.unknown] = -1e30 * (1.0 + mixed.to(scores.dtype) / 0xFFFFFF)
        return scores if items is None else scores[:, torch.as_tensor(items)]

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """The base's own list of known items; only lists that come short draw from the unknown."""
        known = np.ones(self.n_items, bool) if allowed is None else np.isin(np.arange(self.n_items), _rows(allowed))
        known[self.unknown.numpy()] = False
        ids, scores = self.base.topk(users, k, exclude, known)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            out = None if exclude is None else exclude.take(short)
            ids[short], scores[short] = super().topk(users.take(short), k, out, allowed)
        return ids, scores


def _rows(allowed: NDArray[np.bool_] | IntArray) -> IntArray:
    given = np.asarray(allowed)
    return np.flatnonzero(given) if given.dtype == bool else given.astype(np.int64)


def answer(scorer: Scorer, held: EvaluationQueries, k: int) -> IntArray:
    """Ranked lists int64 [len(held), k], -1 where candidates ran out; one chunk of scores is held at a time."""
    unknown = ~scorer.scorable()
    if held.candidates is not None:
        unknown &= held.candidates
    if unknown.any():
        scorer = RandomFill(scorer, unknown)
    lists = []
    for start in range(0, len(held), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(held)))
        lists.append(scorer.topk(held.users.take(rows), k, held.exclude.take(rows), held.candidates)[0])
    return np.concatenate(lists)


def evaluate_held(
    scorer: Scorer, held: EvaluationQueries, ks: Sequence[int] = (20,), names: Sequence[str] = ("recall",)
) -> dict[str, NDArray[np.float64]]:
    """Metrics by user: ``{"recall@20": float64 [len(held)], ...}``."""
    ids = answer(scorer, held, max(ks))
    return dict(evaluate_lists(ids, held.relevant, ks, names))


def validate(scorer: Scorer, held: EvaluationQueries, metric: str = "recall@20") -> float:
    """The mean of one metric over users, unrounded."""
    name, _, k = metric.partition("@")
    return float(evaluate_held(scorer, held, (int(k),), (name,))[metric].mean())
