"""DIN (Zhou et al., KDD 2018): the history is pooled by how much each item of it bears on the candidate.

w_j = MLP([v_j, v, v_j - v, v_j * v]) without a softmax, u = sum_j w_j v_j; logit = MLP([user, v, u, u * v, context]).
It contributes target attention: a user's vector depends on the candidate. Our choices: an item's vector is the mean
of the embeddings of its fields (id and attributes) and of its content, so that a rare item is known by these; PReLU
instead of Dice; dropout and AdamW instead of the paper's mini-batch aware penalty, which our optimisers do not need on
small data; counters join the network's input, and a first-order term its output.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.modules.interactions import multilayer
from palate.modules.target_attention import TargetAttention


@models.register("din")
class DIN(FieldRanker):
    """Click-through prediction with target attention over the history."""

    name = "din"
    paper = "Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018"

    class Config(FieldRankerConfig):
        """Settings."""

        attention: int = Field(32, ge=1, description="hidden width of the attention network")

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c = self.config
        self.attend = TargetAttention(dim, c.attention)
        self.n_context = sum(map(len, self.slots.names["context"].values()))
        width = dim * (4 + self.n_context) + counters
        self.score = multilayer(width, c.hidden, c.dropout, activation=nn.PReLU)

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        counters = self.counters_of(batch)
        user = self.slots.entities("user", batch.users).mean(1)
        history = batch.padded_history(self.config.longest)
        vectors = self.item_vectors(torch.cat([batch.items, history.flatten()]))
        item, before = vectors[: len(batch)], vectors[len(batch) :].view(*history.shape, -1)
        # events of one impression share a history
        pooled = self.attend(item, before[batch.groups], (history >= 0)[batch.groups])
        parts = [user, item, pooled, pooled * item, counters]
        if self.n_context:
            parts.append(self.slots.context(batch.fields).flatten(1))
        deep = self.score(torch.cat(parts, -1))[:, 0]
        return {"label": deep + self.first_order(batch, counters)}
