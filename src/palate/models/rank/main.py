"""MAIN, a base ranker of PPM's table (Gao et al., WWW 2024): several interests of a history, and attention over them.

Interests I = softmax_j(W_2 tanh(W_1 v_j)) V, one row for each of ``interests`` queries; those that bear on the
candidate, u = softmax_k(I_k . M v) I; logit = MLP([user, v, u, u * v]). Approximate: the paper names the model without
defining it; this is a multi-interest network with attention in both steps.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.combine import Mean


@models.register("main")
class MAIN(ContentRanker):
    """Click-through prediction from several interests."""

    name = "main"
    paper = "a base model of Gao et al., PPM, WWW 2024 (approximate)"

    class Config(ContentRankerConfig):
        """Settings."""

        interests: int = Field(4, ge=1, description="interests of a history")

    config: Config

    def build_reader(self, dim: int) -> int:
        c = self.config
        self.extract = nn.Sequential(nn.Linear(dim, c.attention), nn.Tanh(), nn.Linear(c.attention, c.interests))
        self.match = nn.Linear(dim, dim, bias=False) if c.interests > 1 else None
        return 3 * dim

    def interests(self, history: Tensor, there: Tensor) -> Tensor:
        """Interests float32 [n, interests, dim]; zero without a history.

        Args:
            history: float32 [n, length, dim].
            there: bool [n, length].
        """
        some = there.any(1)[:, None, None]
        scores = self.extract(history).masked_fill(~there[..., None] & some, -torch.inf)
        out: Tensor = (scores.softmax(1).transpose(1, 2) @ history) * some
        return out

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        vectors = Mean()(*self.tokens(seen))
        item = seen.of_candidates(vectors)
        interests = self.interests(seen.of_histories(vectors), seen.taken)[seen.groups]
        if self.match is None:
            pooled = interests[:, 0]
        else:
            weights = (interests @ self.match(item)[..., None])[..., 0].softmax(1)
            pooled = (weights[..., None] * interests).sum(1)
        return torch.cat([item, pooled, item * pooled], 1), {}
