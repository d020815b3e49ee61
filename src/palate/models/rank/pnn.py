"""PNN (Qu et al., ICDM 2016): a network over embeddings and the products of their pairs.

logit = MLP([v ; products ; counters]) with inner products <v_i, v_j> or outer ones v_i^T K_ij v_j. Our choice: a matrix
K_ij for each pair, as in the authors' later version (TOIS 2018), where the first superposes all pairs.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.modules.interactions import Products, multilayer


@models.register("pnn")
class PNN(FieldRanker):
    """Click-through prediction by a network over products of fields."""

    name = "pnn"
    paper = "Qu et al., Product-based Neural Networks for User Response Prediction, ICDM 2016"

    class Config(FieldRankerConfig):
        """Settings."""

        product: Literal["inner", "outer"] = Field("inner", description="product of a pair of fields")

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        self.products = Products(slots, self.config.product == "outer", dim)
        self.deep = multilayer(slots * dim + self.products.width + counters, self.config.hidden, self.config.dropout)

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        deep: Tensor = self.deep(torch.cat([slots.flatten(1), self.products(slots), counters], 1))[:, 0]
        return deep
