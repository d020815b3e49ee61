"""BPR-MF (Rendle et al., UAI 2009): matrix factorisation trained to put what was taken above what was not.

score = e_u . e_i; mean of -log sigmoid(s_pos - s_neg) + a penalty on the batch's rows. No item bias, as in the public
multimodal code, whose unsquared norm is the default penalty; the paper's half squares are ``penalty="squares"``.
``optimiser="sgd"`` is the paper's own stochastic gradient descent, whole blocks at a time and without autograd.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Phase, Requirements, models
from palate.core.batch import PairBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.losses.ranking import bpr
from palate.losses.regularise import l2_rows, norm_rows
from palate.models.match.bpr.pair_sweep import PairSweep
from palate.models.match.shared.vectors import VectorMatcher
from palate.training.loop import batch_size

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("bpr")
class BPR(VectorMatcher):
    """Two embedding tables and a pairwise loss."""

    name = "bpr"
    paper = "Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009"
    capabilities = Capabilities(new_users=True)
    requirements = Requirements()
    user_parameters = ("users",)
    training_only = ("users", "items")
    presets = {
        "faithful": {},
        "tuned": {
            "optimiser": "sgd",
            "penalty": "squares",
            "reg": 0.07,
            "lr": 0.1,
            "batch_size": 16384,
            "validate_every": 5,
            "patience": 5,
        },
    }

    class Config(TrainedConfig):
        """Settings of BPR."""

        reg: float = Field(
            1e-2, ge=0, description="weight of the penalty", json_schema_extra={"search": "1e-6..1e-1:log"}
        )
        penalty: Literal["norm", "squares"] = Field(
            "norm", description="norms of the public code, or half squares of the paper"
        )
        optimiser: Literal["adam", "sgd"] = Field(
            "adam",
            description="adam over shuffled batches, or sgd over blocks of users, which needs penalty squares and a "
            "larger lr: its steps add over the pairs of a block instead of averaging them",
        )

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.optimiser == "sgd" and (self.penalty != "squares" or self.weight_decay or self.lr * self.reg >= 1):
                raise ValueError("optimiser sgd needs penalty squares, weight_decay 0 and lr * reg below 1")
            return self

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.blocks: PairSweep | None = None
        self.users = nn.Parameter(torch.empty(shape.n_users, self.config.dim))
        self.items = nn.Parameter(torch.empty(shape.n_items, self.config.dim))
        nn.init.xavier_normal_(self.users)
        nn.init.xavier_normal_(self.items)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.config.optimiser == "sgd":
            self.blocks = PairSweep(train, batch_size(self, len(train)), self.config.reg, run.seed)

    def phases(self) -> list[Phase]:
        return [replace(phase, train_epoch=self._sweep if self.blocks else None) for phase in super().phases()]

    def _sweep(self, lr: float, rng: np.random.Generator) -> dict[str, float]:
        assert self.blocks is not None
        return self.blocks.run(self.users, self.items, lr, rng)

    def on_fit_end(self) -> None:
        super().on_fit_end()
        self.blocks = None

    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.users, self.items

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        u = F.embedding(batch.users, self.users)
        pos, neg = F.embedding(torch.cat([batch.items, batch.negatives[:, 0]]), self.items).chunk(2)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        penalty = norm_rows if self.config.penalty == "norm" else l2_rows
        reg = self.config.reg * penalty(u, pos, neg)
        return {"loss": rank + reg, "bpr": rank, "reg": reg}
