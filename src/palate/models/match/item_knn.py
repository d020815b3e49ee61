"""ItemKNN (Sarwar et al., WWW 2001; shrinkage as in Bell & Koren, 2007): every item taken votes for its neighbours.

s_ij = n_ij / ((n_i n_j)^item_power + shrink), the ``k`` largest of each row kept; score(u, i) = sum over a history j of
s_ji. A person's events count |u|^-user_power each in every n: 0 and an item power of 1/2 are the cosine, 1 and less
than 1/2 are a random walk with its popularity exponent (RP3beta, Paudel et al., 2016), which a log of few long
histories needs; the preset ``walk`` chooses among them.
Sparse all the way: time and memory follow co-occurrences, not items squared.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, models
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.metrics.ragged import ragged_topk
from palate.models.base import Recommender
from palate.ranking.scorer import Scorer
from palate.training.selection import choose

if TYPE_CHECKING:
    from palate.data.views import TrainView

Bools = NDArray[np.bool_]
BLOCK = 4096


class NeighbourScorer(Scorer):
    """score = history row x sparse weights.

    Args:
        neighbours: int [N, k], -1 for padding.
        weights: float32 [N, k], above zero.
        known: bool [N], items that can be scored.
    """

    def __init__(self, neighbours: IntArray, weights: NDArray[np.float32], known: Bools) -> None:
        super().__init__(len(neighbours))
        self.known = known
        kept = neighbours >= 0
        indptr = np.concatenate([[0], np.cumsum(kept.sum(1))])
        shape = (len(neighbours), len(neighbours))
        self.votes = sp.csr_array((weights[kept], neighbours[kept].astype(np.int32), indptr), shape=shape)

    def _sparse(self, history: RaggedArray) -> sp.csr_array:
        ones = np.ones(len(history.items), np.float32)
        return sp.csr_array((ones, history.items, history.indptr), shape=(len(history), self.n_items)) @ self.votes

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        dense = torch.from_numpy(self._sparse(users.history).toarray())
        return dense if items is None else dense[:, torch.as_tensor(items)]

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: Bools | None = None
    ) -> tuple[IntArray, NDArray[np.float32]]:
        blocks = [self._topk(users, k, exclude, allowed, start) for start in range(0, len(users), BLOCK)]
        if not blocks:
            return super().topk(users, k, exclude, allowed)
        return np.concatenate([ids for ids, _ in blocks]), np.concatenate([scores for _, scores in blocks])

    def _topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None, allowed: Bools | None, start: int
    ) -> tuple[IntArray, NDArray[np.float32]]:
        rows = np.arange(start, min(start + BLOCK, len(users)))
        votes = self._sparse(users.history.take(rows))
        if exclude is not None:
            out = exclude.take(rows)
            minus = np.full(len(out.items), -np.inf, np.float32)
            votes = votes + sp.csr_array((minus, out.items, out.indptr), shape=votes.shape)
        if allowed is not None:
            mask = np.asarray(allowed)
            mask = mask if mask.dtype == bool else np.isin(np.arange(self.n_items), mask)
            votes.data[~mask[votes.indices]] = -np.inf
        ids, scores = ragged_topk(votes.indptr, votes.indices, votes.data, k)
        # where votes run out the items with none follow, in the order of the dense ranking
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            rest = rows[short]
            chosen = None if exclude is None else exclude.take(rest)
            ids[short], scores[short] = super().topk(users.take(rest), k, chosen, allowed)
        return ids, scores

    def scorable(self) -> Bools:
        return self.known


@models.register("item_knn")
class ItemKNN(Recommender):
    """Cosine neighbours of items by who took them."""

    name = "item_knn"
    paper = "Sarwar et al., Item-based Collaborative Filtering Recommendation Algorithms, WWW 2001"
    deterministic = True
    capabilities = Capabilities(new_users=True)
    presets = {"faithful": {}, "walk": {"user_power": None, "item_power": None, "shrink": 0.0}}

    class Config(ModelConfig):
        """Settings of ItemKNN; None chooses from a grid on validation."""

        k: int | None = Field(None, ge=1, description="neighbours kept of each item")
        shrink: float | None = Field(None, ge=0, description="added to the normaliser, against chance in rare pairs")
        user_power: float | None = Field(0.0, ge=0, description="exponent by which an active user's events count less")
        item_power: float | None = Field(
            0.5,
            ge=0,
            description="exponent of the takers of both items in the normaliser; less than 1/2 prefers popular items",
        )
        k_grid: tuple[int, ...] = Field((20, 50, 100, 200), description="values of k tried")
        shrink_grid: tuple[float, ...] = Field((0.0, 10.0, 50.0), description="values of shrink tried")
        user_grid: tuple[float, ...] = Field((0.0, 0.5, 1.0), description="values of user_power tried")
        item_grid: tuple[float, ...] = Field((0.5, 0.25, 0.0), description="values of item_power tried")

    config: Config

    def solve(self, train: TrainView, run: RunContext) -> bool:
        c, known = self.config, train.warm_items
        ks = c.k_grid if c.k is None else (c.k,)
        grids = (
            c.user_grid if c.user_power is None else (c.user_power,),
            c.item_grid if c.item_power is None else (c.item_power,),
            c.shrink_grid if c.shrink is None else (c.shrink,),
        )

        def widest(user_power: float, item_power: float, shrink: float) -> tuple[IntArray, NDArray[np.float32]]:
            return neighbours_by_users(train.matrix, max(ks), shrink, user_power, item_power)

        searched = {setting: widest(*setting) for setting in product(*grids)}

        def scorer(candidate: tuple[tuple[float, float, float], int]) -> NeighbourScorer:
            setting, k = candidate
            neighbours, weights = searched[setting]
            return NeighbourScorer(neighbours[:, :k], weights[:, :k], known)

        candidates = list(product(searched, ks))
        best = candidates[0] if len(candidates) == 1 else choose(train, candidates, scorer, run.metric)[0]
        (self._user_power, self._item_power, self._shrink), self._k = best
        neighbours, weights = searched[best[0]]
        self.register_buffer("neighbours", torch.from_numpy(neighbours[:, : self._k].astype(np.int32)))
        self.register_buffer("weights", torch.from_numpy(weights[:, : self._k].copy()))
        self.register_buffer("known", torch.from_numpy(known))
        return True

    def selected_settings(self) -> dict[str, Any]:
        powers = {"user_power": self._user_power, "item_power": self._item_power}
        return {"k": self._k, "shrink": self._shrink, **powers}

    def scorer(self) -> Scorer:
        neighbours, weights, known = (
            self.get_buffer(name).cpu().numpy() for name in ("neighbours", "weights", "known")
        )
        return NeighbourScorer(neighbours, weights, known)


def neighbours_by_users(
    matrix: sp.csr_array,
    k: int,
    shrink: float = 0.0,
    user_power: float = 0.0,
    item_power: float = 0.5,
    block: int = 2048,
) -> tuple[IntArray, NDArray[np.float32]]:
    """The ``k`` items most similar to each by their users, itself left out.

    Args:
        matrix: [users, items] of ones.
        k: neighbours.
        shrink: added to the normaliser.
        user_power: exponent by which an active user's events count less.
        item_power: exponent of the users of both items in the normaliser.
        block: items whose neighbours are searched at a time.

    Returns:
        ``neighbours`` int64 [items, k], -1 where there are fewer, and ``weights`` float32 [items, k], best first.
    """
    taken = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32) ** np.float32(-user_power)
    by_item = sp.csr_array(matrix.T)
    weighted = sp.csr_array((taken[by_item.indices], by_item.indices, by_item.indptr), shape=by_item.shape)
    norm = np.asarray(weighted.sum(axis=1), np.float32).reshape(-1) ** np.float32(item_power)
    ids, similarities = [], []
    for start in range(0, by_item.shape[0], block):
        pairs = weighted[start : start + block] @ matrix
        owner = start + np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
        value = pairs.data / (norm[owner] * norm[pairs.indices] + np.float32(shrink))
        value[owner == pairs.indices] = 0
        best = ragged_topk(pairs.indptr, pairs.indices, value, k)
        ids.append(best[0])
        similarities.append(np.maximum(best[1], 0))
    return np.concatenate(ids), np.concatenate(similarities)
