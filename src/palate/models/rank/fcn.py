"""FCN, also DCNv3 (Li et al., arXiv 2407.13349): two cross networks and no hidden network.

The exponential network doubles the degree of the crosses with each layer, the linear one adds one to it; half of each
layer is a mask that takes noise away. The logit is the mean of the two. Loss: Tri-BCE, in which each network has a loss
of its own, weighted by how much worse it is than the mean: L = L(mean) + w_e L(e) + w_l L(l) with
w = max(0, L(own) - L(mean)). Our choice: counters and first-order weights join each network's input and logit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.modules.interactions import GatedCross


@models.register("fcn")
class FCN(FieldRanker):
    """Click-through prediction by exponential and linear crosses."""

    name = "fcn"
    paper = "Li et al., FCN: Fusing Exponential and Linear Cross Network for CTR Prediction, arXiv 2407.13349"

    class Config(FieldRankerConfig):
        """Settings."""

        exponential: int = Field(2, ge=1, description="layers of the exponential cross network")
        linear: int = Field(2, ge=1, description="layers of the linear cross network")

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c, width = self.config, slots * dim + counters
        self.padding = width % 2
        self.exponential = GatedCross(width + self.padding, c.exponential, True, c.dropout)
        self.linear = GatedCross(width + self.padding, c.linear, False, c.dropout)

    def both(self, batch: ImpressionBatch) -> tuple[Tensor, Tensor]:
        """Logits float32 [n] of the exponential and of the linear network."""
        counters = self.counters_of(batch)
        x = torch.cat([self.embedded(batch).flatten(1), counters], 1)
        x, first = F.pad(x, (0, self.padding)), self.first_order(batch, counters)
        return first + self.exponential(x), first + self.linear(x)

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        exponential, linear = self.both(batch)
        return {"label": (exponential + linear) / 2}

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        if self.config.negatives:
            return super().loss(batch)
        exponential, linear = self.both(batch)
        mean, *own = (
            F.binary_cross_entropy_with_logits(scores, batch.labels)
            for scores in ((exponential + linear) / 2, exponential, linear)
        )
        return {"loss": mean + sum((one - mean).detach().clamp(min=0) * one for one in own)}
