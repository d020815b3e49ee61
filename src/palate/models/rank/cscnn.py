"""CSCNN (Liu et al., KDD 2020): the category is known before the picture is read, so that it directs the reading.

After each block of convolutions the map is weighed by channel and by place, with learnt priors of the category in both
(:mod:`palate.modules.picture_attention`); the vector of the picture joins the embeddings x_0 = [fields ; picture] of a
DCN: x_{l+1} = x_0 * (W_l x_l + b_l) + x_l beside a network. It contributes early fusion of category and picture; what
a click depends on in a picture differs by category. ``attention``: none | se | cbam_channel | cbam | category. Our
choices: a small network that is trained end to end on maps or pixels stands for the backbone. The BPR model of the
paper is ``dvbpr@cscnn``.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.picture_ranker import PictureRanker, PictureRankerConfig
from palate.modules.interactions import CrossNetwork, multilayer
from palate.modules.picture_attention import AttentionKind


@models.register("cscnn")
class CSCNN(PictureRanker):
    """Click-through prediction from pictures that are read in the light of their category."""

    name = "cscnn"
    paper = "Liu et al., Category-Specific CNN for Visual-aware CTR Prediction at JD.com, KDD 2020"

    class Config(PictureRankerConfig):
        """Settings."""

        attention: AttentionKind = Field("category", description="attention after each block of convolutions")
        crosses: int = Field(2, ge=1, description="cross layers", json_schema_extra={"search": "1,2,3"})

    config: Config

    @property
    def attention(self) -> AttentionKind:
        return self.config.attention

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c, width = self.config, slots * dim + counters + self.picture_width
        self.cross = CrossNetwork(width, c.crosses)
        self.deep = multilayer(width, c.hidden, c.dropout, out=None)
        self.score = nn.Linear(width + (c.hidden[-1] if c.hidden else width), 1)

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        x = torch.cat([slots.flatten(1), counters, self.pictures_of(batch.items)], 1)
        return torch.as_tensor(self.score(torch.cat([self.cross(x), self.deep(x)], 1))[:, 0])
