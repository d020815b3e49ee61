"""Click models that read each modality of candidates and histories by itself.

logit = MLP([user, what is read of items and histories, context, counters]) + first order. A subclass says what is read,
and may add losses of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.field_slots import Owner
from palate.modules.interactions import multilayer


class ContentRankerConfig(FieldRankerConfig):
    """Settings of click models that read modalities."""

    attention: int = Field(32, ge=1, description="hidden width of target attention")


class ContentRanker(FieldRanker):
    """A click model over the fields and the modalities of the candidate and of the history.

    Subclasses give :meth:`build_reader` and :meth:`read`.
    """

    Config = ContentRankerConfig
    config: ContentRankerConfig

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c = self.config
        self.n_context = sum(map(len, self.slots.names["context"].values()))
        width = self.build_reader(dim) + dim * (1 + self.n_context) + counters
        self.score = multilayer(width, c.hidden, c.dropout, activation=nn.PReLU)

    def build_reader(self, dim: int) -> int:
        """Make the parts that read items and histories.

        Args:
            dim: width of embeddings and of mapped modalities.

        Returns:
            Width of what :meth:`read` gives.
        """
        raise NotImplementedError

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Read candidates and histories.

        Args:
            batch: n events.
            seen: their items, each once.
            learning: whether losses of its own are needed.

        Returns:
            float32 [n, width], and the weighted losses that are added to that of clicks.
        """
        raise NotImplementedError

    @property
    def multimodal(self) -> bool:
        """Whether items have any modality besides their fields."""
        return bool(self.content.names)

    def fields_of(self, owner: Owner, rows: Tensor) -> Tensor:
        """Mean embedding of the fields of users or items, float32 [..., dim]; zero without fields.

        Args:
            owner: ``user`` or ``item``.
            rows: int64 [...]; -1 is an unknown entity.
        """
        slots = self.slots.entities(owner, rows)
        return slots.sum(-2) / max(slots.shape[-2], 1)

    def item_fields(self, seen: SeenItems) -> Tensor:
        """Mean embedding of the fields of the items of a batch, float32 [U, dim]; zero at padding."""
        return self.fields_of("item", seen.rows) * (seen.rows >= 0)[:, None]

    def tokens(self, seen: SeenItems) -> tuple[Tensor, Tensor]:
        """Fields and modalities of the items of a batch, each a token of width dim.

        Args:
            seen: U items.

        Returns:
            float32 [U, 1 + modalities, dim], zero where absent; bool [U, 1 + modalities], where present.
        """
        known = (seen.rows >= 0)[:, None]
        values = torch.cat([self.item_fields(seen)[:, None], self.content(seen.rows)], 1)
        return values, torch.cat([known, self.content.present(seen.rows)], 1)

    def judged(self, batch: ImpressionBatch, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits float32 [n], and weighted losses besides that of clicks where ``learning``."""
        counters = self.counters_of(batch)
        seen = SeenItems.of(batch, self.config.longest)
        read, losses = self.read(batch, seen, learning)
        parts = [self.fields_of("user", batch.users), read, counters]
        if self.n_context:
            parts.append(self.slots.context(batch.fields).flatten(1))
        deep: Tensor = self.score(torch.cat(parts, -1))[:, 0]
        return deep + self.first_order(batch, counters), losses

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        return {"label": self.judged(batch, learning=False)[0]}

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        scores, losses = self.judged(batch, learning=True)
        click = self.click_loss(scores, batch)
        return {"loss": click + sum(losses.values()), **({"click": click, **losses} if losses else {})}
