"""Regression from content to the item factors of a matrix factorisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from palate.core.batch import ExampleBatch, IntArray
from palate.core.context import RunContext
from palate.core.seeding import rng_for
from palate.losses.factors import factor_mse
from palate.models.pretrain.shared.items import ItemPretrainer
from palate.modules.factorise import weighted_factors

if TYPE_CHECKING:
    from palate.data.views import TrainView


class FactorRegression(ItemPretrainer):
    """f(content_i) -> y_i of X Y^T; held-out items are left out of the factorisation.

    Attributes:
        user_factors: float32 [n_users, width], X.
        targets: float32 [n_items, width], Y.
    """

    user_factors: Tensor
    targets: Tensor

    class Config(ItemPretrainer.Config):
        """Settings of the factorisation."""

        confidence: float = Field(28.6, ge=1, description="weight of a positive; anything else has weight 1")
        reg: float = Field(1.0, gt=0, description="L2 penalty of the factors")
        sweeps: int = Field(10, ge=1, description="sweeps of alternating least squares")

    config: Config

    @property
    def normalize(self) -> bool:
        return False

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c = self.config
        mask = self.held_out.training_mask(train)
        ones = np.ones(int(mask.sum()), np.float32)
        self.matrix = sp.csr_array((ones, (train.users[mask], train.items[mask])), shape=train.matrix.shape)
        rng = rng_for(run.seed, "factors", self.name)
        users, items = weighted_factors(
            self.matrix, c.width, confidence=c.confidence, reg=c.reg, sweeps=c.sweeps, rng=rng
        )
        self.register_buffer("user_factors", torch.from_numpy(users), persistent=False)
        self.register_buffer("targets", torch.from_numpy(items), persistent=False)

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.held_out.train_items[:, None]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        rows = batch.rows[:, 0]
        return {"loss": factor_mse(self.encode(rows), self.targets[rows])}

    def affinity(self, users: IntArray, items: Tensor) -> Tensor:
        """Predicted preference x_u y.

        Args:
            users: int64 [U], rows of users.
            items: float32 [n, width], vectors of items.

        Returns:
            float32 [U, n].
        """
        return self.user_factors[torch.from_numpy(users).to(items.device)] @ items.T

    def validation_score(self) -> float:
        """AUC over users of the held-out items, by x_u f(content_i)."""
        return self.held_out.auc(self.affinity(self.held_out.users, self.encode_all(self.held_out.eval_items)))
