"""Items kept out of training, and what they are asked: who takes them, or which item they belong to."""

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

Task = Callable[[], tuple[Tensor, int]]

MOST_ITEMS = 1000
MOST_USERS = 300


class HeldOut:
    """A random share of ``useful`` items; what people did with them is left to judge the model by.

    Attributes:
        kept, trained: int64, rows of items, sorted. users: int64 [U], a sample of those who took some kept items but
            not all. taken: bool [U, len(kept)].
    """

    def __init__(self, view: TrainView, useful: IntArray, share: float, name: str) -> None:
        rng = rng_for(view.seed, "held", name)
        order = rng.permutation(useful)
        count = min(int(share * len(useful)), MOST_ITEMS)
        self.kept, self.trained = np.sort(order[:count]), np.sort(order[count:])
        columns = view.matrix[:, self.kept]
        counts = np.diff(columns.indptr)
        users = np.flatnonzero((counts > 0) & (counts < max(count, 1)))
        self.users: IntArray = np.sort(rng.permutation(users)[:MOST_USERS])
        self.taken: NDArray[np.bool_] = columns[self.users].toarray() > 0

    def positives(self, view: TrainView) -> NDArray[np.bool_]:
        """bool [positives]: those of the view that training may use."""
        return ~np.isin(view.items, self.kept)

    def auc(self, scores: Tensor) -> float:
        """Mean over users of the chance that a kept item they took is above one they did not; NaN without users.

        Args:
            scores: float [U, len(kept)].
        """
        if not len(self.users):
            return float("nan")
        owners = np.repeat(np.arange(len(self.users)), len(self.kept))
        return float(mean_auc(self.taken.ravel().astype(np.int64), scores.cpu().numpy().ravel(), owners))


def reciprocal_rank(queries: Tensor, candidates: Tensor, place: Tensor) -> float:
    """Mean of 1 / rank of candidate ``place[i]`` for query ``i`` by dot product, ties to its cost; NaN without queries.

    Args:
        queries: [n, d]. candidates: [m, d]. place: int [n].
    """
    if not len(queries):
        return float("nan")
    scores = queries @ candidates.T
    ranks = (scores >= scores.gather(1, place[:, None])).sum(1)
    return float((1 / ranks).mean(dtype=torch.float64))


def held_chance(tasks: Iterable[Task]) -> float:
    """Geometric mean of P(truth) over tokens of all tasks, each the sum of -log P and a count; 0 without tokens.

    What is hidden is drawn alike at every call, so that epochs are compared on the same questions; the caller's draws
    stay as they were.
    """
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(0)
        found = [task() for task in tasks]
    count = sum(tokens for _, tokens in found)
    return math.exp(-sum(float(total) for total, _ in found) / count) if count else 0.0
