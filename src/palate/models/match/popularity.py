"""Popularity: the most taken items first. The floor that every model must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import Ints, UserBatch
from palate.core.config import ModelConfig
from palate.core.model import Abilities, Matcher, models
from palate.core.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView


class CountScorer(Scorer):
    """The same scores for everybody. Args: counts float32 [N]."""

    def __init__(self, counts: Tensor) -> None:
        super().__init__(len(counts))
        self.counts = counts

    def score(self, users: UserBatch, items: Ints | None = None) -> Tensor:
        picked = self.counts if items is None else self.counts[torch.as_tensor(items)]
        return picked.expand(len(users), -1)

    def scorable(self) -> NDArray[np.bool_]:
        return np.asarray(self.counts.cpu() > 0)


@models.register("popularity")
class Popularity(Matcher):
    """Score = number of training positives of the item."""

    name = "popularity"
    paper = "baseline"
    abilities = Abilities(new_users=True)
    deterministic = True

    class Config(ModelConfig):
        """No settings."""

    def solve(self, train: TrainView) -> bool:
        self.register_buffer("counts", torch.from_numpy(train.popularity.astype(np.float32)))
        return True

    def scorer(self) -> Scorer:
        return CountScorer(self.get_buffer("counts"))
