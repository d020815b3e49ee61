"""Held-out items, and the measures that validate a pretrainer on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray
from palate.core.seeding import rng_for
from palate.metrics.rating import mean_auc

if TYPE_CHECKING:
    from palate.data.views import TrainView

MAX_EVAL_ITEMS = 1000
MAX_EVAL_USERS = 300


class HeldOut:
    """Keep a random share of items, and the interactions with them, out of training.

    Args:
        view: training view.
        items: rows of the items to split.
        share: share of ``items`` that is held out, 1,000 items at most.
        name: name of the system.
        seed: seed of the run; it seeds the draw together with ``name``.

    Attributes:
        eval_items: int64, rows of the held-out items, sorted.
        train_items: int64, rows of the other ``items``, sorted.
        users: int64 [U], a sample of the users who took some held-out items but not all.
        relevant: bool [U, len(eval_items)], the held-out items that each of ``users`` took.
    """

    def __init__(self, view: TrainView, items: IntArray, share: float, name: str, seed: int) -> None:
        rng = rng_for(seed, "held", name)
        order = rng.permutation(items)
        count = min(int(share * len(items)), MAX_EVAL_ITEMS)
        self.eval_items, self.train_items = np.sort(order[:count]), np.sort(order[count:])
        columns = view.matrix[:, self.eval_items]
        counts = np.diff(columns.indptr)
        users = np.flatnonzero((counts > 0) & (counts < max(count, 1)))
        self.users: IntArray = np.sort(rng.permutation(users)[:MAX_EVAL_USERS])
        self.relevant: NDArray[np.bool_] = columns[self.users].toarray() > 0

    def training_mask(self, view: TrainView) -> NDArray[np.bool_]:
        """Positives of ``view`` that training may use, bool [positives]."""
        return ~np.isin(view.items, self.eval_items)

    def auc(self, scores: Tensor) -> float:
        """Mean over users of the probability that a held-out item they took ranks above one they did not.

        Args:
            scores: float [U, len(eval_items)].

        Returns:
            The mean AUC; NaN without users.
        """
        if not len(self.users):
            return float("nan")
        owners = np.repeat(np.arange(len(self.users)), len(self.eval_items))
        return float(mean_auc(self.relevant.ravel().astype(np.int64), scores.cpu().numpy().ravel(), owners))


def reciprocal_rank(queries: Tensor, candidates: Tensor, target: Tensor) -> float:
    """Mean of 1 / rank of each query's target among the candidates by dot product; ties count against it.

    Args:
        queries: float [n, d].
        candidates: float [m, d].
        target: int64 [n], row of ``candidates`` that belongs to each query.

    Returns:
        The mean reciprocal rank; NaN without queries.
    """
    if not len(queries):
        return float("nan")
    scores = queries @ candidates.T
    ranks = (scores >= scores.gather(1, target[:, None])).sum(1)
    return float((1 / ranks).mean(dtype=torch.float64))


def token_likelihood(tasks: Iterable[Callable[[], tuple[Tensor, int]]]) -> float:
    """Geometric mean of P(truth) over the masked tokens of all tasks.

    The same masks are drawn at every call, so that epochs are compared on the same tokens; the caller's random state is
    left as it was.

    Args:
        tasks: functions that return the sum of -log P over the tokens of one task, and their number.

    Returns:
        exp(-mean of -log P); 0 without tokens.
    """
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(0)
        losses = [task() for task in tasks]
    count = sum(tokens for _, tokens in losses)
    return math.exp(-sum(float(total) for total, _ in losses) / count) if count else 0.0
