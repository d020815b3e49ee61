"""DIN (Zhou et al., KDD 2018): the history is pooled by how much each item of it bears on the candidate.

w_j = MLP([v_j, v, v_j - v, v_j * v]) without a softmax, u = sum_j w_j v_j; logit = MLP([user, v, u, u * v, context]).
It contributes target attention: a user's vector depends on the candidate. Our choices: an item's vector is the mean
of the embeddings of its fields (id and attributes), so that a rare item is known by its attributes; PReLU instead of
Dice; dropout and AdamW instead of the paper's mini-batch aware penalty, which our optimisers do not need on small data.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, RankerConfig, models
from palate.core.batch import ImpressionBatch
from palate.models.base import RankingModel
from palate.modules.fields import FieldEmbedding


@models.register("din")
class DIN(RankingModel):
    """Click-through prediction with target attention over the history."""

    name = "din"
    paper = "Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018"
    capabilities = Capabilities(new_items=True, new_users=True)

    class Config(RankerConfig):
        """Settings."""

        dim: int = Field(16, ge=1, description="width of embeddings", json_schema_extra={"search": "8,16,32"})
        hidden: tuple[int, ...] = Field((64, 32), description="widths of the hidden layers of the scoring network")
        attention: int = Field(32, ge=1, description="hidden width of the attention network")
        dropout: float = Field(0.4, ge=0, lt=1, description="dropout", json_schema_extra={"search": "0.0..0.6"})
        batch_size: int = Field(256, ge=1, description="events of a batch")
        optimizer: Literal["adam", "adamw", "sgd"] = Field("adamw", description="optimiser of the loop")
        weight_decay: float = Field(0.1, ge=0, description="decoupled L2", json_schema_extra={"search": "1e-3..1:log"})
        epochs: int = Field(20, ge=0, description="epochs at most")
        patience: int = Field(3, ge=1, description="validations without gain after which training stops")
        min_count: int = Field(3, ge=1, description="rarer values of fields are out of vocabulary")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        self.embed = FieldEmbedding(dict(shape.fields), c.dim)
        self.owned: dict[str, list[tuple[str, bool]]] = {"user": [], "item": [], "context": []}
        for one in self.tables.schema:
            if one.kind != "sequence":
                self.owned[one.owner].append((one.name, one.kind == "multivalued"))
        self.attend = nn.Sequential(nn.Linear(4 * c.dim, c.attention), nn.PReLU(), nn.Linear(c.attention, 1))
        widths = [c.dim * (4 + len(self.owned["context"])), *c.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.PReLU(), nn.Dropout(c.dropout)]
        self.score = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.bias = FieldEmbedding(dict(shape.fields), 1, std=0.0)

    def entities(self, embed: FieldEmbedding, owner: str, rows: Tensor) -> Tensor:
        """Mean over the fields of users or items ``rows`` int64 [...]: float32 [..., dim]."""
        parts = []
        for name, several in self.owned[owner]:
            values = self.tables.rows(name, rows)
            parts.append(embed.several(name, values) if several else embed(name, values))
        return torch.stack(parts).mean(0)

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        user, item = self.entities(self.embed, "user", batch.users), self.entities(self.embed, "item", batch.items)
        history = batch.padded_history(self.config.longest)
        # events of one impression share a history: its items are embedded once
        before = self.entities(self.embed, "item", history)[batch.groups]
        there = (history >= 0)[batch.groups]
        target = item[:, None].expand_as(before)
        weights = self.attend(torch.cat([before, target, before - target, before * target], -1))[..., 0]
        pooled = ((weights * there)[..., None] * before).sum(1) / there.sum(1, keepdim=True).clamp(min=1).sqrt()
        context = [
            self.embed.several(name, batch.fields[name]) if several else self.embed(name, batch.fields[name])
            for name, several in self.owned["context"]
        ]
        linear = self.entities(self.bias, "user", batch.users) + self.entities(self.bias, "item", batch.items)
        deep = self.score(torch.cat([user, item, pooled, pooled * item, *context], -1))
        return {"label": (deep + linear)[:, 0]}
