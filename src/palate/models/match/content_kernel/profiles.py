"""Profiles of users over the items seen in fitting, and the scorer that carries them to all items."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from palate.core.batch import IntArray, UserBatch
from palate.models.match.shared.columns import Columns
from palate.ranking.scorer import Scorer

EPS = 1e-9


class KernelScorer(Scorer):
    """score = (profile + popularity) x table.

    Args:
        smooth: float32 [w, w], EASE weights of the fitted items, which fill in what a user would have taken.
        out: [w, N], the kernel's table over all items.
        popular: float32 [w], weighted popularity of the fitted items.
        place: int64 [N], place of an item among the fitted ones, -1 for others.
        mix: m, weight of the raw history in a profile.
        known: bool [N], items that can be scored.
    """

    def __init__(
        self, smooth: Tensor, out: Columns, popular: Tensor, place: Tensor, mix: float, known: NDArray[np.bool_]
    ) -> None:
        super().__init__(out.size)
        self.smooth, self.out, self.popular, self.place = smooth, out, popular, place
        self.mix, self.known = mix, known

    def profiles(self, users: UserBatch) -> Tensor:
        """Profiles over the fitted items, float32 [B, w].

        Args:
            users: B users with their histories.
        """
        history = users.history
        places = self.place[torch.from_numpy(history.items)]
        fitted = places >= 0
        y = torch.zeros(len(users), len(self.smooth))
        y[torch.from_numpy(history.owners())[fitted], places[fitted]] = 1.0
        return user_profiles(y, sparse_product(y, self.smooth), self.mix) + self.popular

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        profiles = self.profiles(users)
        return self.out.times(profiles) if items is None else profiles @ self.out.take(torch.as_tensor(items))

    def scorable(self) -> NDArray[np.bool_]:
        return self.known


def user_profiles(y: Tensor, smoothed: Tensor, mix: float) -> Tensor:
    """unit(unit(smoothed) + mix unit(y)) of every row, float32 [B, w].

    Args:
        y: float32 [B, w], histories as rows of ones.
        smoothed: float32 [B, w], histories times EASE weights.
        mix: m.
    """
    return normalize(normalize(smoothed, dim=1, eps=EPS) + mix * normalize(y, dim=1, eps=EPS), dim=1, eps=EPS)


def sparse_product(y: Tensor, table: Tensor) -> Tensor:
    """``y @ table``, for rows of zeros and ones that are mostly zero.

    Args:
        y: float32 [B, w].
        table: float32 [w, n].
    """
    owner, item = y.nonzero(as_tuple=True)
    starts = torch.searchsorted(owner, torch.arange(len(y)))
    return embedding_bag(item, table, starts, mode="sum")
