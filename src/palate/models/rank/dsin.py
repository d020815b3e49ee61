"""DSIN (Feng et al., IJCAI 2019): a history is a row of sessions, each with one interest.

Sessions end at pauses of more than 30 minutes. Q_k + BE with BE(k, t, c) = w_k + w_t + w_c (session, place, dimension)
goes through self-attention; the mean over its items is the session's interest I_k; a Bi-LSTM over the I_k gives H_k.
Both are pooled by target attention: U = sum_k softmax(I_k W x) I_k, and the same of H_k. logit = MLP([user, item, U^I,
U^H, context, counters]). Our choices: items are vectors of their fields and content, as in DIN; a first-order term is
added.
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
from palate.modules.sessions import cut_sessions


@models.register("dsin")
class DSIN(FieldRanker):
    """Click-through prediction from the interests of sessions."""

    name = "dsin"
    paper = "Feng et al., Deep Session Interest Network for Click-Through Rate Prediction, IJCAI 2019"

    class Config(FieldRankerConfig):
        """Settings."""

        gap: int = Field(1800, ge=0, description="longest pause within a session, in seconds")
        sessions: int = Field(5, ge=1, description="newest sessions that are read")
        length: int = Field(10, ge=1, description="items of a session; longer ones are cut into several")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")

    config: Config

    def build_parts(self, slots: int, dim: int, counters: int) -> None:
        c = self.config
        self.session_bias = nn.Parameter(torch.randn(c.sessions, 1, 1) * 0.01)
        self.place_bias = nn.Parameter(torch.randn(c.length, 1) * 0.01)
        self.unit_bias = nn.Parameter(torch.randn(dim) * 0.01)
        self.self_attention = nn.MultiheadAttention(dim, c.heads, batch_first=True)
        self.feed_forward = multilayer(dim, (4 * dim,), out=dim)
        self.evolve = nn.LSTM(dim, dim, batch_first=True, bidirectional=True)
        self.match_interest, self.match_evolved = nn.Linear(dim, dim, bias=False), nn.Linear(2 * dim, dim, bias=False)
        self.n_context = sum(map(len, self.slots.names["context"].values()))
        self.score = multilayer(dim * (5 + self.n_context) + counters, c.hidden, c.dropout)

    def interests(self, items: Tensor, filled: Tensor) -> Tensor:
        """Interest of each session, float32 [n, S, dim]; zero for an empty one.

        Args:
            items: float32 [n, S, T, dim].
            filled: bool [n, S, T].
        """
        n, sessions, length, dim = items.shape
        x = (items + self.session_bias + self.place_bias + self.unit_bias).view(n * sessions, length, dim)
        there = filled.view(n * sessions, length)
        # a session of nothing still attends to something, and is set to zero below
        mixed, _ = self.self_attention(
            x, x, x, key_padding_mask=~there & there.any(1, keepdim=True), need_weights=False
        )
        mixed = mixed + self.feed_forward(mixed)
        pooled: Tensor = (mixed * there[..., None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        return pooled.view(n, sessions, dim)

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        c, counters = self.config, self.counters_of(batch)
        history = batch.padded_history(c.longest)
        vectors = self.item_vectors(torch.cat([batch.items, history.flatten()]))
        item, before = vectors[: len(batch)], vectors[len(batch) :].view(*history.shape, -1)
        places, filled = cut_sessions(history >= 0, batch.padded_times(c.longest), c.gap, c.sessions, c.length)
        rows = torch.arange(len(history), device=history.device)[:, None, None]
        interests = self.interests(before[rows, places] * filled[..., None], filled)
        some = filled.any(2)
        evolved = self.evolve(interests)[0]
        pooled = [
            _pooled(match(one)[batch.groups], one[batch.groups], item, some[batch.groups])
            for match, one in ((self.match_interest, interests), (self.match_evolved, evolved))
        ]
        parts = [self.slots.entities("user", batch.users).mean(1), item, *pooled, counters]
        if self.n_context:
            parts.append(self.slots.context(batch.fields).flatten(1))
        return {"label": self.score(torch.cat(parts, -1))[:, 0] + self.first_order(batch, counters)}


def _pooled(keys: Tensor, values: Tensor, query: Tensor, there: Tensor) -> Tensor:
    """Softmax attention over sessions, float32 [n, width]; zero where there is none."""
    scores = (keys * query[:, None]).sum(-1).masked_fill(~there & there.any(1, keepdim=True), -torch.inf)
    return (scores.softmax(1)[..., None] * values).sum(1) * there.any(1, keepdim=True)
