"""Popularity: the most taken items first. The floor that every model must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, models
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.models.base import Recommender
from palate.ranking.candidates import Candidates, check_request, empty_lists
from palate.ranking.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView


BLOCK = 4096


class CountScorer(Scorer):
    """The same scores for every user, so that one ranking of the catalogue serves all.

    Args:
        counts: float32 [N], scores of items.
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__(len(counts))
        self.counts = counts

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        picked = self.counts if items is None else self.counts[torch.as_tensor(items)]
        return picked.expand(len(users), -1)

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[IntArray, NDArray[np.float32]]:
        check_request(len(users), k, exclude, BLOCK)
        kept = Candidates(self.n_items, exclude, allowed).allowed
        pool = np.arange(self.n_items) if kept is None else kept
        counts = self.counts.cpu().numpy()
        ranking = pool[np.argsort(-counts[pool], kind="stable")]
        place = np.full(self.n_items, len(ranking))
        place[ranking] = np.arange(len(ranking))
        ids, scores = empty_lists(len(users), k)
        for start in range(0, len(users), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(users)))
            taken = RaggedArray.of([[]] * len(rows)) if exclude is None else exclude.take(rows)
            free = np.ones((len(rows), min(len(ranking), k + int(taken.lengths.max()))), bool)
            at = place[taken.items]
            ranked = at < free.shape[1]
            free[taken.owners()[ranked], at[ranked]] = False
            rank = free.cumsum(axis=1)
            row, column = np.nonzero(free & (rank <= k))
            ids[start + row, rank[row, column] - 1] = ranking[column]
            scores[start + row, rank[row, column] - 1] = counts[ranking[column]]
        return ids, scores

    def scorable(self) -> NDArray[np.bool_]:
        return np.asarray(self.counts.cpu() > 0)


@models.register("popularity")
class Popularity(Recommender):
    """Score = number of training positives of the item, or the logarithm of one more than it."""

    name = "popularity"
    paper = "baseline"
    capabilities = Capabilities(new_users=True)
    deterministic = True

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"log": {"log": True}}

    class Config(ModelConfig):
        """Settings of popularity."""

        log: bool = Field(
            False,
            description="scores log(1 + count): the same order, on a scale that can be added to other scores",
        )

    config: Config

    def solve(self, train: TrainView, run: RunContext) -> bool:
        counts = torch.from_numpy(train.popularity.astype(np.float32))
        self.register_buffer("counts", counts.log1p() if self.config.log else counts)
        return True

    def scorer(self) -> Scorer:
        return CountScorer(self.get_buffer("counts"))
