"""A user-item cross-encoder: history and candidate in one Transformer, down to their modalities.

``joint`` says how early they meet:

- ``early``: [CLS], a token for each modality of each item of the history, those of the candidate; h = state of [CLS];
- ``intermediate``: the same with one token an item, the mean of its modalities;
- ``late``: history and candidate are encoded apart by the same Transformer, h = h_u * h_i.

token = vector + place (0 is the candidate's, so that it is told from the history as by a separator) + kind of modality.
logit = MLP([user, h]). O(tokens^2) a pair: dear, as cross-encoders are; ``late`` reads a history once for all of a
group's candidates. The figure that it follows gives no sizes: they are our choice.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.combine import Mean


@models.register("cross_encoder")
class CrossEncoder(ContentRanker):
    """Click-through prediction by joint attention over history and candidate."""

    name = "cross_encoder"
    paper = "user-item cross-encoder, a common form of finetuning"

    class Config(ContentRankerConfig):
        """Settings."""

        longest: int = Field(20, ge=1, description="newest items that a history keeps")
        joint: Literal["early", "intermediate", "late"] = Field(
            "early", description="history and candidate meet as modalities (early), as items, or as vectors (late)"
        )
        layers: int = Field(2, ge=1, description="layers of the Transformer")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")

    config: Config

    def build_reader(self, dim: int) -> int:
        c = self.config
        kinds = 1 if c.joint == "intermediate" else 1 + len(self.content.names)
        self.first = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.places = nn.Parameter(torch.randn(1 + c.longest, 1, dim) * 0.02)
        self.kinds = nn.Parameter(torch.randn(kinds, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(dim, c.heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, c.layers, enable_nested_tensor=False)
        return dim

    def summary(self, tokens: Tensor, present: Tensor, start: int) -> Tensor:
        """State of [CLS] before tokens of items, float32 [n, dim].

        Args:
            tokens: float32 [n, items, kinds, dim], newest first.
            present: bool [n, items, kinds].
            start: place of the first item; the candidate's is 0.
        """
        placed = (tokens + self.places[start : start + tokens.shape[1]] + self.kinds).flatten(1, 2)
        x = torch.cat([self.first.expand(len(tokens), 1, -1), placed], 1)
        hidden = torch.cat([present.new_zeros(len(tokens), 1), ~present.flatten(1)], 1)
        states: Tensor = self.layers(x, src_key_padding_mask=hidden)
        return states[:, 0]

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, present = self.tokens(seen)
        if self.config.joint == "intermediate":
            tokens, present = Mean()(tokens, present)[:, None], present.any(1, keepdim=True)
        item, there = seen.of_candidates(tokens)[:, None], seen.of_candidates(present)[:, None]
        history, taken = seen.of_histories(tokens).flip(1), seen.of_histories(present).flip(1)
        if self.config.joint == "late":
            user = self.summary(history, taken, 1)[seen.groups]
            return user * self.summary(item, there, 0), {}
        whole = torch.cat([item, history[seen.groups]], 1), torch.cat([there, taken[seen.groups]], 1)
        return self.summary(*whole, 0), {}
