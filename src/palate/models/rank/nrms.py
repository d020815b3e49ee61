"""NRMS (Wu et al., EMNLP 2019): news and users by multi-head self-attention, pooled by additive attention.

score = user . news; the user is self-attention over the vectors of clicked news, pooled by softmax(q^T tanh(W x + b)).
Learnt by a softmax over one click and K articles of the same impression that were not clicked. What it contributes:
clicked news are read in the light of each other. A first version, in which a news vector is made of the article's
fields (id, category) and its encoded text features instead of attention over its words; articles without either are
known by their id alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, RankerConfig, models
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.core.tuning import FUSIONS
from palate.data.views import TrainView
from palate.models.base import RankingModel
from palate.modules.bank import ContentBank
from palate.modules.fields import FieldEmbedding


@models.register("nrms")
class NRMS(RankingModel):
    """News recommendation with self-attention over clicked news."""

    name = "nrms"
    paper = "Wu et al., Neural News Recommendation with Multi-Head Self-Attention, EMNLP 2019"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=FUSIONS[:1])

    class Config(RankerConfig):
        """Settings."""

        heads: int = Field(4, ge=1, description="attention heads; they divide dim")
        query: int = Field(64, ge=1, description="width of the additive attention")
        dropout: float = Field(0.2, ge=0, lt=1, description="dropout on news vectors")
        negatives: int = Field(4, ge=1, description="negative articles sampled per click")
        batch_size: int = Field(64, ge=1, description="clicks of a batch")
        epochs: int = Field(10, ge=0, description="epochs at most")
        patience: int = Field(3, ge=1, description="validations without gain after which training stops")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.update_items(ItemFeatures.of(train.features, train.n_items))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        named = [one for one in self.read_fields if one.owner == "item" and one.kind != "numeric"]
        self.owned = [(one.name, one.kind == "multivalued") for one in named]
        self.embed = FieldEmbedding({one.name: one.size for one in named}, c.dim, std=0.1)
        self.maps = nn.ModuleDict({name.replace(".", "_"): nn.Linear(n, c.dim) for name, n in shape.features.items()})
        self.features = list(shape.features)
        self.self_attention = nn.MultiheadAttention(c.dim, c.heads, batch_first=True)
        self.pool = nn.Sequential(nn.Linear(c.dim, c.query), nn.Tanh(), nn.Linear(c.query, 1, bias=False))
        self.dropout = nn.Dropout(c.dropout)
        self.bank: ContentBank | None = None

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        known = features.select(self.features)
        self.bank = ContentBank(known).to(self.device) if known else None

    def news(self, rows: Tensor) -> Tensor:
        """Vectors of articles ``rows`` int64 [...]: float32 [..., dim]; an unknown one is zero."""
        total = torch.zeros(*rows.shape, self.config.dim, device=rows.device)
        for name, several in self.owned:
            values = self.tables.rows(name, rows)
            total = total + (self.embed.several(name, values) if several else self.embed(name, values))
        bank = self.bank
        for name in self.features:
            if bank is None:
                break
            values, present = bank.rows(name, rows.clamp(min=0).flatten())
            mapped = self.maps[name.replace(".", "_")](values) * present[:, None]
            total = total + mapped.view(*rows.shape, -1)
        out: Tensor = self.dropout(total) * (rows >= 0)[..., None]
        return out

    def users(self, history: Tensor) -> Tensor:
        """Vectors float32 [G, dim] of histories int64 [G, L], -1 is padding; zero without a history."""
        there = history >= 0
        vectors = self.news(history)
        # a history of nothing still attends to something, and is set to zero below
        hidden = ~there & there.any(1, keepdim=True)
        mixed, _ = self.self_attention(vectors, vectors, vectors, key_padding_mask=hidden, need_weights=False)
        weights = self.pool(mixed)[..., 0].masked_fill(hidden, -torch.inf).softmax(1)
        out: Tensor = (weights[..., None] * mixed).sum(1) * there.any(1, keepdim=True)
        return out

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        users = self.users(batch.padded_history(self.config.longest))[batch.groups]
        return {"label": (users * self.news(batch.items)).sum(-1)}
