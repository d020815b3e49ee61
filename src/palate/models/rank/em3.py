"""EM3 (Deng et al., arXiv 2404.06078): modalities fused by learnt queries, trained by clicks alone.

- Fusion-Q-Former: queries [q_1 .. q_Q] and the item's modality tokens go through self-attention together; the queries'
  states, one after the other, are the content vector z of a candidate or of an item of the history.
- Low-rank adaptation: a modality's token is (W + B A) x with W frozen and B A of rank ``rank``, so that long histories
  cost few trained weights and gradients.
- Content-ID contrast: L_CIC = symmetric cross-entropy over the batch's items of exp(cos(P z_i, e_i) / tau).

logit = MLP([user, e, u_e, e * u_e, z, u_z, z * u_z]) with u the history under target attention; L = L_click +
``contrast`` L_CIC. Our choices: x is one pooled vector a modality, where the paper trains the encoders as well; cosines
instead of dot products in the contrast.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.losses.contrastive import info_nce
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.adapters import add_low_rank
from palate.modules.combine import Mean
from palate.modules.fusion_queries import FusionQueries
from palate.modules.target_attention import TargetAttention


@models.register("em3")
class EM3(ContentRanker):
    """Click-through prediction from modalities that learnt queries fuse."""

    name = "em3"
    paper = "Deng et al., End-to-end training of Multimodal Model and ranking Model, arXiv 2404.06078"

    class Config(ContentRankerConfig):
        """Settings."""

        queries: int = Field(4, ge=0, description="learnt queries; 0 takes the mean of the modalities instead")
        layers: int = Field(2, ge=1, description="layers of self-attention over queries and modalities")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")
        rank: int = Field(0, ge=0, description="rank of the update of frozen maps of content; 0 trains the maps whole")
        contrast: float = Field(0.1, ge=0, description="weight of the contrast of content and id")
        tau: float = Field(0.1, gt=0, description="temperature of the contrast")

    config: Config

    def build_reader(self, dim: int) -> int:
        c = self.config
        self.attend_ids = TargetAttention(dim, c.attention)
        if not self.multimodal:
            return 3 * dim
        if c.rank:
            add_low_rank(self.content, c.rank)
            for name, parameter in self.content.named_parameters():
                parameter.requires_grad_(not name.endswith("original"))
        self.fuse = FusionQueries(dim, c.queries, c.layers, c.heads) if c.queries else Mean()
        width = dim * max(c.queries, 1)
        self.attend_content = TargetAttention(width, c.attention)
        if c.contrast:
            self.project = nn.Linear(width, dim, bias=False)
        return 3 * (dim + width)

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        ids = self.item_fields(seen)
        parts = [(ids, self.attend_ids)]
        losses: dict[str, Tensor] = {}
        if self.multimodal:
            present = self.content.present(seen.rows)
            fused = self.fuse(self.content(seen.rows), present) * present.any(1, keepdim=True)
            parts.append((fused, self.attend_content))
            if learning and self.config.contrast:
                shown = seen.candidate.unique()
                shown = shown[present[shown].any(1)]
                losses = {"contrast": self.config.contrast * self.contrast(fused[shown], ids[shown])}
        read = []
        for vectors, attend in parts:
            item = seen.of_candidates(vectors)
            pooled = attend(item, seen.of_events(vectors), seen.there)
            read += [item, pooled, item * pooled]
        return torch.cat(read, 1), losses

    def contrast(self, content: Tensor, ids: Tensor) -> Tensor:
        """Symmetric contrast of an item's content with its id; 0 of fewer than two items.

        Args:
            content: float32 [n, width] of different items.
            ids: float32 [n, dim].
        """
        if len(ids) < 2:
            return ids.new_zeros(())
        return info_nce(self.project(content), ids, self.config.tau, symmetric=True)
