"""DCN V2 (Wang et al., WWW 2021): bounded-degree crosses of all features, learnt by matrices, beside a network.

x_{l+1} = x_0 * (W_l x_l + b_l) + x_l on x_0 = [embeddings ; counters]; the logit is linear in the last cross and the
last hidden layer (``parallel``), or the network reads the last cross (``stacked``).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.modules.interactions import CrossNetwork, multilayer


@models.register("dcnv2")
class DCNv2(FieldRanker):
    """Click-through prediction by learnt crosses."""

    name = "dcnv2"
    paper = "Wang et al., DCN V2: Improved Deep & Cross Network and Practical Lessons, WWW 2021"

    class Config(FieldRankerConfig):
        """Settings."""

        crosses: int = Field(2, ge=1, description="cross layers", json_schema_extra={"search": "1,2,3"})
        rank: int | None = Field(None, ge=1, description="rank of the cross matrices; None keeps them full")
        structure: Literal["parallel", "stacked"] = Field("parallel", description="network beside or on the crosses")

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c, width = self.config, slots * dim + counters
        self.cross = CrossNetwork(width, c.crosses, c.rank)
        self.deep = multilayer(width, c.hidden, c.dropout, out=None)
        last = c.hidden[-1] if c.hidden else width
        self.score = nn.Linear(last + width if c.structure == "parallel" else last, 1)

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        x = torch.cat([slots.flatten(1), counters], 1)
        crossed = self.cross(x)
        if self.config.structure == "stacked":
            return torch.as_tensor(self.score(self.deep(crossed))[:, 0])
        return torch.as_tensor(self.score(torch.cat([crossed, self.deep(x)], 1))[:, 0])
