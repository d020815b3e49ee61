"""Profiles of users over the items seen in fitting, and the scorer that carries them to all items."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray, UserBatch
from palate.models.match.shared.columns import Columns
from palate.ranking.scorer import Scorer


class KernelScorer(Scorer):
    """Args: smooth float32 [w, w]; out [w, N]; popular float32 [w]; place int64 [N] (-1 beyond w); settings."""

    def __init__(
        self, smooth: Tensor, out: Columns, popular: Tensor, place: Tensor, mix: float, known: NDArray[np.bool_]
    ) -> None:
        super().__init__(out.size)
        self.smooth, self.out, self.popular, self.place = smooth, out, popular, place
        self.mix, self.known = mix, known

    def profiles(self, users: UserBatch) -> Tensor:
        """float32 [B, w]."""
        history = users.history
        where = self.place[torch.from_numpy(history.items)]
        owner = torch.from_numpy(history.owners())[where >= 0]
        y = torch.zeros(len(users), len(self.smooth))
        y[owner, where[where >= 0]] = 1.0
        return user_profiles(y, sparse_product(y, self.smooth), self.mix) + self.popular

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        profiles = self.profiles(users)
        return self.out.times(profiles) if items is None else profiles @ self.out.take(torch.as_tensor(items))

    def scorable(self) -> NDArray[np.bool_]:
        return self.known


def user_profiles(y: Tensor, smoothed: Tensor, mix: float) -> Tensor:
    """unit(unit(smoothed) + mix unit(y)), rows; float32 [B, w]."""
    unit = torch.nn.functional.normalize
    return unit(unit(smoothed, dim=1, eps=1e-9) + mix * unit(y, dim=1, eps=1e-9), dim=1, eps=1e-9)


def sparse_product(y: Tensor, table: Tensor) -> Tensor:
    """y @ table where rows of y are mostly zero."""
    owner, item = y.nonzero(as_tuple=True)
    starts = torch.searchsorted(owner, torch.arange(len(y)))
    return torch.nn.functional.embedding_bag(item, table, starts, mode="sum")
