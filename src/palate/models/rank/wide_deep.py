"""Wide & Deep (Cheng et al., DLRS 2016): a linear model that remembers, and a network that generalises.

logit = wide + MLP([embeddings ; counters]), trained together. The wide part has a weight for each value and for hashed
crosses of the user with each value of the item's attributes. Our choice: one optimiser for both parts; the paper has
FTRL with L1 for the wide one.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.modules.interactions import multilayer

USER_PRIME, FIELD_PRIME = 1_000_003, 7_919


@models.register("wide_deep")
class WideDeep(FieldRanker):
    """Click-through prediction by a wide linear and a deep part."""

    name = "wide_deep"
    paper = "Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016"

    class Config(FieldRankerConfig):
        """Settings."""

        crosses: int = Field(1 << 16, ge=1, description="buckets of crosses of the user with values of attributes")

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        self.deep = multilayer(slots * dim + counters, self.config.hidden, self.config.dropout)
        self.crossed = [name for name in self.counted_fields if name in self.slots.order]
        self.cross = nn.Embedding(self.config.crosses, 1)
        nn.init.zeros_(self.cross.weight)

    def wide(self, batch: ImpressionBatch) -> Tensor:
        """Mean weight of the crosses of user and values, float32 [n]; zero for an unknown user or value."""
        total = self.cross.weight.new_zeros(len(batch))
        for place, name in enumerate(self.crossed):
            values = self.tables.of(name, batch).reshape(len(batch), -1)
            there = (values > 0) & (batch.users >= 0)[:, None]
            keys = batch.users[:, None] * USER_PRIME + values * FIELD_PRIME + place
            weights = self.cross(keys.remainder(self.config.crosses))[..., 0] * there
            total = total + weights.sum(1) / there.sum(1).clamp(min=1)
        return total

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        deep: Tensor = self.deep(torch.cat([slots.flatten(1), counters], 1))[:, 0]
        return deep + self.wide(batch)
