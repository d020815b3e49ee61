"""SimpleX (Mao et al., CIKM 2021): matrix factorisation with the user's history, cosines and many negatives.

u = g e_u + (1 - g) V mean(e_j, j in history), score = cos(u, e_i), cosine contrastive loss. What it contributes: with a
loss that ignores easy negatives a plain model rivals graph models. A visitor without a row in the table is scored by
the history half alone. The history is averaged (the paper's simplest pooling) and holds the positive itself, as in the
public implementations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.batches.pairs import PairBatches
from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import BatchSource, PairBatch, RaggedArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.losses.ranking import cosine_contrastive
from palate.losses.regularise import l2_rows
from palate.models.match.shared.vectors import VectorMatcher
from palate.modules.graph import Graph
from palate.modules.propagate import propagate
from palate.ranking.scorer import mean_of

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("simplex")
class SimpleX(VectorMatcher):
    """Cosine contrastive loss over ID embeddings and behaviour."""

    name = "simplex"
    paper = "Mao et al., SimpleX: A Simple and Strong Baseline for Collaborative Filtering, CIKM 2021"
    capabilities = Capabilities(new_users=True)
    requirements = Requirements()
    user_parameters = ("users",)
    training_only = ("users",)

    class Config(TrainedConfig):
        """Settings of SimpleX."""

        negatives: int = Field(64, ge=1, description="items drawn for each positive")
        margin: float = Field(0.4, ge=-1, le=1, description="cosine above which a negative counts")
        neg_weight: float = Field(10.0, ge=0, description="weight of the negatives in the loss")
        gamma: float = Field(0.5, ge=0, le=1, description="share of the user's own vector beside the history")
        reg: float = Field(
            1e-6, ge=0, description="weight of the half squares", json_schema_extra={"search": "1e-6..1e-1:log"}
        )

    config: Config

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        return PairBatches(train, self.config.negatives)

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        dim = self.config.dim
        self.users = nn.Parameter(torch.randn(shape.n_users, dim) * 1e-2)
        self.items = nn.Parameter(torch.randn(shape.n_items, dim) * 1e-2)
        self.map = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, dim)))

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        shape = (train.n_users, train.n_items)
        self.history = Graph.from_pairs(train.users, train.items, shape).normalised("row")

    def _behaviour(self, means: Tensor) -> Tensor:
        share: float = 1 - self.config.gamma
        return share * F.linear(means, self.map)

    def vectors(self) -> tuple[Tensor, Tensor]:
        users = self.config.gamma * self.users + self._behaviour(propagate(self.history, self.items))
        return F.normalize(users, dim=1), F.normalize(self.items, dim=1)

    def fold_in(self, items: Tensor, history: RaggedArray) -> Tensor:
        return F.normalize(self._behaviour(mean_of(self.items, history)), dim=1)

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        own = F.embedding(batch.users, self.users)
        # one product for all users is faster than gathering the batch's histories, whose gradient would be scattered
        means = F.embedding(batch.users, propagate(self.history, self.items))
        u = F.normalize(self.config.gamma * own + self._behaviour(means), dim=1)
        unit = F.normalize(self.items, dim=1)
        pos = (u * F.embedding(batch.items, unit)).sum(1)
        # one product with the whole catalogue would grow with it; one gather of the negatives does not
        neg = torch.bmm(F.embedding(batch.negatives, unit), u[:, :, None]).squeeze(2)
        rank = cosine_contrastive(pos, neg, self.config.margin, self.config.neg_weight)
        reg = self.config.reg * l2_rows(own, F.embedding(batch.items, self.items))
        return {"loss": rank + reg, "ccl": rank, "reg": reg}
