"""DeepFM (Guo et al., IJCAI 2017): FM and a network over the same embeddings.

logit = first order + sum_{i<j} <v_i, v_j> + MLP([v_1 ; v_2 ; ... ; counters]).
"""

from __future__ import annotations

import torch
from torch import Tensor

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker
from palate.modules.interactions import factorised_pairs, multilayer


@models.register("deepfm")
class DeepFM(FieldRanker):
    """Click-through prediction by factorised pairs and a deep part."""

    name = "deepfm"
    paper = "Guo et al., DeepFM: A Factorization-Machine based Neural Network for CTR Prediction, IJCAI 2017"

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        self.deep = multilayer(slots * dim + counters, self.config.hidden, self.config.dropout)

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        deep: Tensor = self.deep(torch.cat([slots.flatten(1), counters], 1))[:, 0]
        return factorised_pairs(slots) + deep
