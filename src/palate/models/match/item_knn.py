"""ItemKNN (Sarwar et al., WWW 2001; shrinkage as in Bell & Koren, 2007): every item taken votes for its neighbours.

s_ij = n_ij / (sqrt(n_i n_j) + shrink), the ``k`` largest of each row kept; score(u, i) = sum over a history j of s_ji.
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

from palate.core.batch import Ints, Lists, UserBatch
from palate.core.config import ModelConfig
from palate.core.model import Abilities, Matcher, models
from palate.core.scorer import Scorer
from palate.metrics.ragged import ragged_best
from palate.training.selection import choose

if TYPE_CHECKING:
    from palate.data.views import TrainView

Bools = NDArray[np.bool_]
BLOCK = 4096


class NeighbourScorer(Scorer):
    """score = history row x sparse weights.

    Args:
        neighbours: int [N, k], -1 for padding. weights: float32 [N, k], above zero. known: bool [N].
    """

    def __init__(self, neighbours: Ints, weights: NDArray[np.float32], known: Bools) -> None:
        super().__init__(len(neighbours))
        self.known = known
        kept = neighbours >= 0
        indptr = np.concatenate([[0], np.cumsum(kept.sum(1))])
        shape = (len(neighbours), len(neighbours))
        self.votes = sp.csr_array((weights[kept], neighbours[kept].astype(np.int32), indptr), shape=shape)

    def _sparse(self, history: Lists) -> sp.csr_array:
        ones = np.ones(len(history.items), np.float32)
        return sp.csr_array((ones, history.items, history.indptr), shape=(len(history), self.n_items)) @ self.votes

    def score(self, users: UserBatch, items: Ints | None = None) -> Tensor:
        dense = torch.from_numpy(self._sparse(users.history).toarray())
        return dense if items is None else dense[:, torch.as_tensor(items)]

    def topk(
        self, users: UserBatch, k: int, exclude: Lists | None = None, allowed: Bools | None = None
    ) -> tuple[Ints, NDArray[np.float32]]:
        found = [self._topk(users, k, exclude, allowed, s) for s in range(0, len(users), BLOCK)]
        if not found:
            return super().topk(users, k, exclude, allowed)
        return np.concatenate([ids for ids, _ in found]), np.concatenate([scores for _, scores in found])

    def _topk(
        self, users: UserBatch, k: int, exclude: Lists | None, allowed: Bools | None, start: int
    ) -> tuple[Ints, NDArray[np.float32]]:
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
        ids, scores = ragged_best(votes.indptr, votes.indices, votes.data, k)
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
class ItemKNN(Matcher):
    """Cosine neighbours of items by who took them."""

    name = "item_knn"
    paper = "Sarwar et al., Item-based Collaborative Filtering Recommendation Algorithms, WWW 2001"
    abilities = Abilities(new_users=True)

    class Config(ModelConfig):
        """k: neighbours an item votes for. shrink: of rare pairs. None chooses from the grid on validation.

        k_grid, shrink_grid: values tried.
        """

        k: int | None = Field(None, ge=1)
        shrink: float | None = Field(None, ge=0)
        k_grid: tuple[int, ...] = (20, 50, 100, 200)
        shrink_grid: tuple[float, ...] = (0.0, 10.0, 50.0)

    def solve(self, train: TrainView) -> bool:
        c, known = self.config, train.warm_items
        ks = c.k_grid if c.k is None else (c.k,)
        shrinks = c.shrink_grid if c.shrink is None else (c.shrink,)
        widest = {shrink: cosine_neighbours(train.matrix, max(ks), shrink) for shrink in shrinks}

        def scorer(setting: tuple[float, int]) -> NeighbourScorer:
            shrink, k = setting
            neighbours, weights = widest[shrink]
            return NeighbourScorer(neighbours[:, :k], weights[:, :k], known)

        candidates = list(product(shrinks, ks))
        best = candidates[0] if len(candidates) == 1 else choose(train, candidates, scorer)[0]
        self._shrink, self._k = best
        neighbours, weights = widest[self._shrink]
        self.register_buffer("neighbours", torch.from_numpy(neighbours[:, : self._k].astype(np.int32)))
        self.register_buffer("weights", torch.from_numpy(weights[:, : self._k].copy()))
        self.register_buffer("known", torch.from_numpy(known))
        return True

    def selected(self) -> dict[str, Any]:
        return {"k": self._k, "shrink": self._shrink}

    def scorer(self) -> Scorer:
        neighbours, weights, known = (
            self.get_buffer(name).cpu().numpy() for name in ("neighbours", "weights", "known")
        )
        return NeighbourScorer(neighbours, weights, known)


def cosine_neighbours(
    matrix: sp.csr_array, k: int, shrink: float = 0.0, block: int = 2048
) -> tuple[Ints, NDArray[np.float32]]:
    """The ``k`` items most similar to each by who took them, itself left out.

    Args:
        matrix: [users, items] of ones.

    Returns:
        ``neighbours`` int64 [items, k], -1 where there are fewer, and ``cosines`` float32 [items, k], best first.
    """
    by_item = sp.csr_array(matrix.T)
    norm = np.sqrt(np.diff(by_item.indptr).astype(np.float32))
    ids, cosines = [], []
    for start in range(0, by_item.shape[0], block):
        pairs = by_item[start : start + block] @ matrix
        owner = start + np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
        value = pairs.data / (norm[owner] * norm[pairs.indices] + np.float32(shrink))
        value[owner == pairs.indices] = 0
        best = ragged_best(pairs.indptr, pairs.indices, value, k)
        ids.append(best[0])
        cosines.append(np.maximum(best[1], 0))
    return np.concatenate(ids), np.concatenate(cosines)
