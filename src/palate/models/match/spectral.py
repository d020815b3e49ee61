"""Spectral filtering of the user-item graph in closed form: what LightGCN's propagation keeps, without training.

R~ = (D_u + t_u)^-1/2 R (D_i + t_i)^-1/2 ~ U S V^T, with D the numbers of training pairs;
score(u, i) = sum over a history j of (d_j + t_i)^-1/2 v_j S^filter v_i^T (d_i + t_i)^popularity.
``filter`` 0, ``popularity`` 1/2 and no damping are the ideal low-pass filter of GF-CF (Shen et al., CIKM 2021); 1 more
is half a propagation, which trusts weak directions less. GF-CF adds a filter over neighbours; that is ``item_knn``.
Without the damping t, sparse graphs yield directions of a few rare users and items instead of those that many share;
the mean degree is a good t (Qin and Rohe, NeurIPS 2013).
No user has parameters, so a visitor is scored like any user. Time O(pairs * dim), memory O((users + items) * dim).
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
from palate.core.batch import IntArray, UserBatch
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.models.base import Recommender
from palate.modules.graph import Graph
from palate.modules.spectral import truncated_svd
from palate.ranking.scorer import Scorer, mean_of
from palate.training.selection import choose

if TYPE_CHECKING:
    from palate.data.views import TrainView

Setting = tuple[int, float, float]


class HistoryScorer(Scorer):
    """A user is the sum of the vectors of the history.

    Args:
        taken: float32 [N, d], vectors of items in a history.
        goods: float32 [N, d], vectors of items to be scored.
        known: bool [N], items that can be scored.
    """

    def __init__(self, taken: Tensor, goods: Tensor, known: NDArray[np.bool_]) -> None:
        super().__init__(len(goods))
        self.taken, self.goods, self.known = taken, goods, known

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        return self.goods if items is None else self.goods[torch.as_tensor(items)]

    def user_vectors(self, users: UserBatch) -> Tensor:
        return mean_of(self.taken, users.history, power=0.0)

    def scorable(self) -> NDArray[np.bool_]:
        return self.known


@models.register("spectral")
class Spectral(Recommender):
    """The leading singular vectors of the normalised interactions as a filter."""

    name = "spectral"
    paper = "Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021"
    capabilities = Capabilities(new_users=True)
    deterministic = True
    presets = {"lowpass": {"filter": 0.0, "popularity": 0.5, "damping": 0.0}}

    class Config(ModelConfig):
        """Settings of spectral filtering; None chooses from a grid on validation."""

        dim: int | None = Field(None, ge=1, description="directions kept", json_schema_extra={"search": "32,64,128"})
        filter: float | None = Field(None, ge=0, description="power of the singular values")
        popularity: float | None = Field(None, ge=0, description="power of an item's number of pairs")
        damping: float = Field(
            1.0, ge=0, description="pairs added to those of every user and item, in units of the mean number"
        )
        dim_grid: tuple[int, ...] = Field((8, 16, 32, 64, 128), description="values of dim tried")
        filter_grid: tuple[float, ...] = Field((0.0, 1.0), description="values of filter tried")
        popularity_grid: tuple[float, ...] = Field((0.5, 0.25), description="values of popularity tried")
        rounds: int = Field(20, ge=1, description="passes of the iteration that finds the directions")

    config: Config

    def solve(self, train: TrainView, run: RunContext) -> bool:
        c, known = self.config, train.warm_items
        dims = c.dim_grid if c.dim is None else (c.dim,)
        filters = c.filter_grid if c.filter is None else (c.filter,)
        powers = c.popularity_grid if c.popularity is None else (c.popularity,)
        _, values, right, scale = spectrum(train, max(dims), c.damping, c.rounds)

        def tables(setting: Setting) -> tuple[Tensor, Tensor]:
            dim, power, popularity = setting
            kept = right[:, :dim]
            return kept * values[:dim] ** power / scale.sqrt(), kept * scale**popularity

        candidates = list(product(dims, filters, powers))
        best = candidates[0]
        if len(candidates) > 1:
            best = choose(train, candidates, lambda setting: HistoryScorer(*tables(setting), known), run.metric)[0]
        self._chosen: Setting = best
        taken, goods = tables(best)
        self.register_buffer("taken", taken.clone())
        self.register_buffer("goods", goods.clone())
        self.register_buffer("known", torch.from_numpy(known))
        return True

    def selected_settings(self) -> dict[str, Any]:
        return dict(zip(("dim", "filter", "popularity"), self._chosen, strict=True))

    def scorer(self) -> Scorer:
        taken, goods, known = (self.get_buffer(name) for name in ("taken", "goods", "known"))
        return HistoryScorer(taken, goods, known.cpu().numpy())


def spectrum(
    train: TrainView, dim: int, damping: float = 1.0, rounds: int = 20
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Singular triplets of (D_u + t_u)^-1/2 R (D_i + t_i)^-1/2, where t is ``damping`` times the mean degree.

    Args:
        train: its training pairs are R; D counts them.
        dim: as in :func:`palate.modules.spectral.truncated_svd`.
        damping: pairs added to those of every user and item, in units of the mean number.
        rounds: as in :func:`palate.modules.spectral.truncated_svd`.

    Returns:
        users float32 [n_users, r], values [r], items [n_items, r], and d_i + t_i as float32 [n_items, 1], at least 1.
    """
    users, items = np.diff(train.matrix.indptr), train.popularity
    by_user, by_item = (np.maximum(count + damping * count.mean(), 1) for count in (users, items))
    matrix = sp.diags_array(by_user**-0.5) @ train.matrix @ sp.diags_array(by_item**-0.5)
    left, values, right = truncated_svd(Graph.from_scipy(matrix), dim, rounds)
    return left, values, right, torch.from_numpy(by_item).float()[:, None]
