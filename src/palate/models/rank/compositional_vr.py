"""CompositionalVR (Yang et al., CIKM 2019): rich advertisements by their components, their look and their neighbours.

v = [c ; e ; h] joins fields and counters in an MLP. Compositional: c = sum_k a_k W_k f_k over the components that an
advertisement has (title, links, ... : modalities and single columns), a = softmax(q . tanh(W W_k f_k + b)). Visual: e
is an embedding of the picture, trained with the clicks. Relational: h is the mean of neighbours, advertisements of the
same advertiser, campaign or category (:mod:`palate.modules.neighbour_hubs`). Each helps where ids know little: new
and rich advertisements. ``components``, ``pictures=none`` and ``relational`` leave one out. Our choices: queries are a
field of the context, not nodes of the graph; the published summary gives no sizes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import Requirements, models
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.models.rank.shared.picture_ranker import PictureRanker, PictureRankerConfig
from palate.modules.interactions import multilayer
from palate.modules.interactive import AttentionPooling
from palate.modules.neighbour_hubs import NeighbourHubs


@models.register("compositional_vr")
class CompositionalVR(PictureRanker):
    """Click-through prediction from components, pictures and neighbours of advertisements."""

    name = "compositional_vr"
    paper = "Yang et al., Learning Compositional, Visual and Relational Representations for CTR Prediction in Sponsored Search, CIKM 2019"  # fmt: skip # noqa: E501
    requirements = Requirements(labels=True, fields=True)

    class Config(PictureRankerConfig):
        """Settings."""

        components: bool = Field(True, description="attention over the components that an item has")
        relational: bool = Field(True, description="the mean of items that share an attribute")
        graph: tuple[str, ...] | None = Field(
            None, description="attributes of items that make neighbours; None takes all categorical ones"
        )

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(replace(train, features={**train.features, **train.fields}), run)

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c = self.config
        able = self.category_fields
        self.shared = [name for column, name in able.items() if c.graph is None or column in c.graph]
        self.pool = AttentionPooling(dim) if c.components and self.content.names else None
        self.hubs = NeighbourHubs(self.tables.schema["item"].size, dim) if c.relational and self.shared else None
        fields = len(self.slots.order) + c.history
        width = dim * (fields + (self.pool is not None) + (self.hubs is not None)) + self.picture_width + counters
        self.score = multilayer(width, c.hidden, c.dropout)

    def embedded(self, batch: ImpressionBatch) -> Tensor:
        parts = [self.slots(batch)]
        if self.config.history:
            parts.append(self.pooled_history(batch)[:, None])
        return torch.cat(parts, 1)

    def component_vectors(self, items: Tensor) -> Tensor:
        """One vector for the components of each item, float32 [n, dim]; zero without any.

        Args:
            items: int64 [n].
        """
        slots: Tensor = self.content(items)
        if self.pool is None:
            return slots.new_zeros(len(items), 0)
        there = self.content.there(items)
        return torch.as_tensor(self.pool(slots, there))

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        parts = [slots.flatten(1), counters, self.pictures_of(batch.items), self.component_vectors(batch.items)]
        if self.hubs is not None:
            ids = self.tables.table("item")
            parts.append(self.hubs(batch.items, ids, [self.tables.table(name) for name in self.shared]))
        return torch.as_tensor(self.score(torch.cat(parts, 1))[:, 0])
