"""Tavern (Wen et al., WSDM 2024): what a user prefers to see, read off each clicked picture beside the candidate's.

For an item j of the history and a candidate t with visual vectors v:

- shared v_jt = v_j * v_t; noise n_jt = N v_jt, preference p_jt = v_jt - n_jt;
- selective orthogonality: g_jt = sigmoid(G v_jt) chooses dimensions, and L_orth is the mean of
  cos(g_jt * p_jt, g_jt * n_jt)^2, so that the two part ways without losing what the other dimensions know;
- a GRU over p_1t .. p_Tt, oldest first: its last state is the visual preference, appended to a ranker (DIN here).

L = L_click + ``orthogonality`` L_orth. Approximate: of the paper only the abstract was at hand; the formulas are our
reading of it. "Visual" are pictures where there are any, else all modalities; they enter as frozen vectors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.combine import Mean
from palate.modules.recurrent import run_in_order
from palate.modules.target_attention import TargetAttention


@models.register("tavern")
class Tavern(ContentRanker):
    """Click-through prediction with target-aware visual preference."""

    name = "tavern"
    paper = "Wen et al., Unified Visual Preference Learning for User Intent Understanding, WSDM 2024"

    class Config(ContentRankerConfig):
        """Settings."""

        preference: bool = Field(True, description="read the visual preference; else the ranker stands alone")
        orthogonality: float = Field(0.05, ge=0, description="weight of products of preference and noise")

    config: Config

    def build_reader(self, dim: int) -> int:
        self.attend = TargetAttention(dim, self.config.attention)
        names = self.content.names
        pictures = [place for place, name in enumerate(names) if name.startswith("image")]
        self.visual = pictures or list(range(len(names)))
        if not self.multimodal or not self.config.preference:
            return 3 * dim
        self.mean = Mean()
        self.noise, self.select = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.order = nn.GRU(dim, dim, batch_first=True)
        return 4 * dim

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, present = self.tokens(seen)
        vectors = Mean()(tokens, present)
        item = seen.of_candidates(vectors)
        pooled = self.attend(item, seen.of_events(vectors), seen.there)
        parts, losses = [item, pooled, item * pooled], {}
        if self.multimodal and self.config.preference:
            columns = [1 + place for place in self.visual]
            visual = self.mean(tokens[:, columns], present[:, columns])
            shared = seen.of_candidates(visual)[:, None] * seen.of_events(visual)
            preference, noise, gate = self.part(shared)
            parts.append(run_in_order(self.order, preference, seen.there)[:, -1])
            if learning and self.config.orthogonality:
                both = shared.abs().sum(-1) > 0
                cosines = F.cosine_similarity(gate * preference, gate * noise, dim=-1)[both & seen.there]
                orthogonality = cosines.square().sum() / max(len(cosines), 1)
                losses = {"orthogonality": self.config.orthogonality * orthogonality}
        return torch.cat(parts, 1), losses

    def part(self, shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Preference, noise and the gate of dimensions in which they part, float32 [..., dim] each.

        Args:
            shared: float32 [..., dim], products of visual vectors.
        """
        noise = self.noise(shared)
        return shared - noise, noise, self.select(shared).sigmoid()
