"""What click models share: embeddings of fields, of content and of the history, counters, and a first-order term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, RankerConfig
from palate.contracts.ranker import CounterKind
from palate.core.batch import ImpressionBatch
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.data.views import TrainView
from palate.models.base import RankingModel
from palate.modules.content_slots import ContentSlots
from palate.modules.field_slots import FieldSlots
from palate.modules.standardise import CONSTANT


class FieldRankerConfig(RankerConfig):
    """Settings of click models."""

    dim: int = Field(16, ge=1, description="width of embeddings", json_schema_extra={"search": "8,16,32"})
    hidden: tuple[int, ...] = Field((64, 32), description="widths of the hidden layers of the deep part")
    dropout: float = Field(0.4, ge=0, lt=1, description="dropout", json_schema_extra={"search": "0.0..0.6"})
    content: bool = Field(True, description="read the encoded content of items")
    history: bool = Field(True, description="the mean of the history's items is a field")
    counters: CounterKind = Field("windows", description="shares of positives of users, items and values: none, all "
                                  "of the past, or the newest events also by themselves")  # fmt: skip
    batch_size: int = Field(256, ge=1, description="events of a batch")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adamw", description="optimiser of the loop")
    weight_decay: float = Field(0.1, ge=0, description="decoupled L2", json_schema_extra={"search": "1e-3..1:log"})
    epochs: int = Field(20, ge=0, description="epochs at most")
    patience: int = Field(3, ge=1, description="validations without gain after which training stops")
    min_count: int = Field(3, ge=1, description="rarer values of fields are out of vocabulary")


class FieldRanker(RankingModel):
    """A click model over slots: one vector for each field, each modality and the history.

    Subclasses give :meth:`combine`, and make their parts in :meth:`build_parts`.

    Attributes:
        embeds: whether fields and content are embedded; a linear model has weights alone.
    """

    embeds: ClassVar[bool] = True

    capabilities = Capabilities(new_items=True, new_users=True, content=True)
    Config = FieldRankerConfig
    config: FieldRankerConfig
    counter_mean: Tensor
    counter_scale: Tensor

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        if not self.config.content:
            self.capabilities = Capabilities(new_items=True, new_users=True)  # type: ignore[misc]

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        counters = self.counters_of_events(train.events)
        if counters is not None:
            deviation = counters.std(0)
            self.counter_mean.copy_(torch.from_numpy(counters.mean(0)))
            self.counter_scale.copy_(torch.from_numpy(1 / np.where(deviation > CONSTANT, deviation, 1)))
        self.update_items(ItemFeatures.of(train.features, train.n_items))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, names = self.config, [one.name for one in self.read_fields]
        self.slots = FieldSlots(self.tables, names if self.embeds else [], c.dim)
        self.weights = FieldSlots(self.tables, names, 1, std=0.0)
        self.content = ContentSlots(dict(shape.features) if c.content and self.embeds else {}, c.dim)
        self.register_buffer("counter_mean", torch.zeros(self.n_counters))
        self.register_buffer("counter_scale", torch.ones(self.n_counters))
        self.counter_weights = nn.Linear(max(self.n_counters, 1), 1)
        nn.init.zeros_(self.counter_weights.weight)
        self.n_slots = len(self.slots.order) + len(self.content.names) + c.history
        self.build_parts(self.n_slots, c.dim, self.n_counters)

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        """Make what a subclass adds.

        Args:
            slots: number of slots.
            dim: width of a slot.
            counters: number of counters; 0 without.
        """

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        self.content.use(features, self.device)

    def item_vectors(self, rows: Tensor) -> Tensor:
        """Mean over an item's fields and modalities, float32 [..., dim]; zero for -1.

        Every item is embedded once, however often it occurs.

        Args:
            rows: int64 [...].
        """
        items, place = torch.unique(rows, return_inverse=True)
        slots = torch.cat([self.slots.entities("item", items), self.content(items)], 1)
        vectors: Tensor = slots.mean(1) * (items >= 0)[:, None]
        return vectors[place]

    def pooled_history(self, batch: ImpressionBatch) -> Tensor:
        """Mean of the history's items, float32 [n, dim]; zero without a history."""
        history = batch.padded_history(self.config.longest)
        there = (history >= 0).sum(1, keepdim=True).clamp(min=1)
        pooled = self.item_vectors(history).sum(1) / there
        return pooled[batch.groups]

    def embedded(self, batch: ImpressionBatch) -> Tensor:
        """All slots of events, float32 [n, slots, dim]."""
        parts = [self.slots(batch), self.content(batch.items)]
        if self.config.history:
            parts.append(self.pooled_history(batch)[:, None])
        return torch.cat(parts, 1)

    def counters_of(self, batch: ImpressionBatch) -> Tensor:
        """Standardised counters, float32 [n, counters]; no columns where none are counted."""
        if batch.counters is None:
            return self.counter_mean.new_zeros(len(batch), self.n_counters)
        return (batch.counters - self.counter_mean) * self.counter_scale

    def first_order(self, batch: ImpressionBatch, counters: Tensor) -> Tensor:
        """A weight for each value of a field, and a linear function of counters: float32 [n]."""
        total: Tensor = self.weights(batch).sum((1, 2))
        counted: Tensor = self.counter_weights(counters)[:, 0] if self.n_counters else self.counter_weights.bias
        return total + counted

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        """The part of the logit that is not of first order, float32 [n].

        Args:
            slots: float32 [n, slots, dim].
            counters: float32 [n, counters].
            batch: the n events.
        """
        return slots.new_zeros(len(slots))

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        counters = self.counters_of(batch)
        return {"label": self.first_order(batch, counters) + self.combine(self.embedded(batch), counters, batch)}
