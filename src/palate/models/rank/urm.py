"""URM, a base ranker of PPM's table (Gao et al., WWW 2024): a Transformer over behaviours, target attention, an MLP.

The states of the history's items after self-attention are pooled by target attention; logit = MLP([user, v, u, u * v]).
Approximate: the paper names the model without defining it; this is the shape that its description of production rankers
suggests.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.behaviour import BehaviourTransformer
from palate.modules.combine import Mean
from palate.modules.target_attention import TargetAttention


@models.register("urm")
class URM(ContentRanker):
    """Click-through prediction with a behaviour Transformer and target attention."""

    name = "urm"
    paper = "a base model of Gao et al., PPM, WWW 2024 (approximate)"

    class Config(ContentRankerConfig):
        """Settings."""

        layers: int = Field(1, ge=0, description="layers of the Transformer; 0 is target attention alone")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")

    config: Config

    def build_reader(self, dim: int) -> int:
        c = self.config
        self.behaviour = BehaviourTransformer(dim, c.longest, c.layers, c.heads) if c.layers else None
        self.attend = TargetAttention(dim, c.attention)
        return 3 * dim

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        vectors = Mean()(*self.tokens(seen))
        item, states = seen.of_candidates(vectors), seen.of_histories(vectors)
        if self.behaviour is not None:
            states = self.behaviour(states, seen.taken)
        pooled = self.attend(item, states[seen.groups], seen.there)
        return torch.cat([item, pooled, item * pooled], 1), {}
