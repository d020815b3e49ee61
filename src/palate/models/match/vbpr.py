"""VBPR (He & McAuley, AAAI 2016): matrix factorisation with a second half that content fills in.

score = e_u . e_i + t_u . E f_i; BPR. An item nobody took scores through its content alone (its ID half is zero).
As in the public multimodal code there are no bias terms and all modalities share one linear map. Absent modalities are
left out of the sum, which is scaled to the full number. Raw features can carry an offset far larger than what tells
items apart; the ``tuned`` preset standardises columns, ``faithful`` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.config import AdaptedConfig
from palate.core.context import RunContext
from palate.core.tuning import FUSIONS
from palate.features.item_content import ItemContent
from palate.losses.ranking import bpr
from palate.losses.regularise import norm_rows
from palate.models.match.shared.cold import FromContent
from palate.models.match.shared.content_matcher import ContentMatcher

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("vbpr")
class VBPR(ContentMatcher):
    """ID embeddings and a linear map of frozen content, side by side."""

    name = "vbpr"
    paper = "He & McAuley, VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback, AAAI 2016"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, tuning=True, fusion=FUSIONS)
    requirements = Requirements(content=True, dense=True)
    user_parameters = ("users",)
    training_only = ("users", "items")
    presets = {"faithful": {"standardise": False}, "tuned": {"standardise": True}}

    class Config(AdaptedConfig):
        """Settings of VBPR."""

        reg: float = Field(
            1e-3,
            ge=0,
            description="weight of the norm penalty on both halves",
            json_schema_extra={"search": "1e-6..1e-1:log"},
        )
        content_scale: float = Field(
            1.0, gt=0, description="factor on projected content, which otherwise starts far larger than the ID half"
        )
        standardise: bool = Field(True, description="standardise the columns of features")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        dim, width = self.config.dim, sum(shape.features.values())
        self.users = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape.n_users, 2 * dim)))
        self.items = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape.n_items, dim)))
        weight = nn.init.xavier_normal_(torch.empty(dim, max(width, 1)))
        self.maps = nn.ParameterList(part.contiguous() for part in weight.split([*shape.features.values()], 1))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.content = ItemContent(shape.features, self.config.standardise, self.config.modality_dropout)
        self.cold = FromContent(own_width=dim)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.read_content(train)

    def describe(self, rows: Tensor) -> Tensor:
        total = self.bias.new_zeros(len(rows), self.config.dim)
        count = self.bias.new_zeros(len(rows), 1)
        for name, weight in zip(self.content.names, self.maps):
            z, present = self.content.linear(name, rows, weight)
            total = total + z * present[:, None]
            count = count + present[:, None]
        full = len(self.content.names)
        scale: float = self.config.content_scale
        return (total * (scale * full / count.clamp(min=1)) + self.bias) * (count > 0)

    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.users, self.complete(self.items * self.get_buffer("warm")[:, None])

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        rows = torch.cat([batch.items, batch.negatives[:, 0]])
        u = F.embedding(batch.users, self.users)
        pos, neg = torch.cat([F.embedding(rows, self.items), self.describe(rows)], 1).chunk(2)
        rank = bpr((u * pos).sum(-1), (u * neg).sum(-1))
        reg = self.config.reg * norm_rows(u, pos, neg)
        return {"loss": rank + reg, "bpr": rank, "reg": reg}
