"""Content learns the factors that a matrix factorisation found for the items people took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from palate.core.batch import ExampleBatch, IntArray
from palate.core.seeding import rng_for
from palate.losses.factors import factor_mse
from palate.models.pretrain.shared.items import ItemPretrainer
from palate.modules.factorise import weighted_factors

if TYPE_CHECKING:
    from palate.data.views import TrainView


class FactorRegression(ItemPretrainer):
    """f(content_i) -> y_i of X Y^T; kept items take no part in the factorisation, so nothing tells of them.

    Attributes:
        people: float32 [n_users, width], factors of users. goals: float32 [n_items, width], factors of items.
    """

    people: Tensor
    goals: Tensor

    class Config(ItemPretrainer.Config):
        """Settings.

        Attributes:
            confidence: weight of what was taken against 1 for what was not. reg, sweeps: of the factorisation.
        """

        confidence: float = Field(28.6, ge=1)
        reg: float = Field(1.0, gt=0)
        sweeps: int = Field(10, ge=1)

    @property
    def unit(self) -> bool:
        return False

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c = self.config
        seen = self.held.positives(train)
        ones = np.ones(int(seen.sum()), np.float32)
        self.matrix = sp.csr_array((ones, (train.users[seen], train.items[seen])), shape=train.matrix.shape)
        rng = rng_for(train.seed, "factors", self.name)
        people, goals = weighted_factors(
            self.matrix, c.width, confidence=c.confidence, reg=c.reg, sweeps=c.sweeps, rng=rng
        )
        self.register_buffer("people", torch.from_numpy(people), persistent=False)
        self.register_buffer("goals", torch.from_numpy(goals), persistent=False)

    def examples(self, view: TrainView) -> IntArray:
        return self.held.trained[:, None]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        rows = batch.rows[:, 0]
        return {"loss": factor_mse(self.encode(rows), self.goals[rows])}

    def affinity(self, users: IntArray, items: Tensor) -> Tensor:
        """x_u y float32 [U, n] of items given as vectors [n, width], for users given as rows."""
        return self.people[torch.from_numpy(users).to(items.device)] @ items.T

    def validation_score(self) -> float:
        """AUC over users of the kept items, by x_u f(content_i)."""
        return self.held.auc(self.affinity(self.held.users, self.encode_all(self.held.kept)))
