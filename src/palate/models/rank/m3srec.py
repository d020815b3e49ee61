"""M3SRec (Bian et al., CIKM 2023) as a reader of behaviours: modalities' sequences meet in mixtures of experts.

The history is one sequence a modality (its ids are one, too), all of which attend to each other:

- x = token + place + modality; block 1: x + Attention(LN x), then experts of the token's own modality, x + MoE_m(LN x);
- block 2 .. ``layers``: the same with experts that all modalities share;
- each modality's state at its newest item; attention over the modalities that have one gives the interest u.

MoE(x) = sum_k softmax(W x)_k FFN_k(x). logit = MLP([user, v, u, u * v]) with v the mean of the candidate's tokens.
Approximate: the paper's abstract and a third party's description were at hand; its contrastive pretraining is left out,
and clicks train it alone.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.attention import Attention
from palate.modules.combine import Mean
from palate.modules.mixture import ModalityExperts


class ExpertBlock(nn.Module):
    """Self-attention over all tokens, then experts.

    Args:
        dim: width of tokens.
        heads: attention heads.
        experts: what stands for the feed-forward network.
    """

    def __init__(self, dim: int, heads: int, experts: ModalityExperts) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention, self.experts = Attention(dim, heads), experts

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        """States float32 [n, modalities, L, dim].

        Args:
            x: float32 [n, modalities, L, dim].
            allowed: bool [n, 1, modalities * L], False for tokens that nothing attends to.
        """
        flat = self.before(x).flatten(1, 2)
        x = x + self.attention(flat, flat, allowed).view_as(x)
        out: Tensor = x + self.experts(self.between(x))
        return out


@models.register("m3srec")
class M3SRec(ContentRanker):
    """Click-through prediction from sequences of modalities and mixtures of experts."""

    name = "m3srec"
    paper = (
        "Bian et al., Multi-modal Mixture of Experts Representation Learning for Sequential Recommendation, CIKM 2023"
    )

    class Config(ContentRankerConfig):
        """Settings."""

        longest: int = Field(20, ge=1, description="newest items that a history keeps")
        layers: int = Field(2, ge=1, description="blocks; the first has experts of each modality")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")
        experts: int = Field(4, ge=1, description="experts of a mixture; 1 is a plain feed-forward network")
        specific: bool = Field(True, description="experts of each modality in the first block; else all share them")

    config: Config

    def build_reader(self, dim: int) -> int:
        c, modalities = self.config, 1 + len(self.content.names)
        self.places = nn.Parameter(torch.randn(c.longest, dim) * 0.02)
        self.kinds = nn.Parameter(torch.randn(modalities, 1, dim) * 0.02)
        self.blocks = nn.ModuleList(
            ExpertBlock(dim, c.heads, ModalityExperts(dim, c.experts, 1 if number or not c.specific else modalities))
            for number in range(c.layers)
        )
        self.weigh = nn.Linear(dim, 1, bias=False) if modalities > 1 else None
        return 3 * dim

    def interest(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Interests float32 [n, dim]; zero without a history.

        Args:
            tokens: float32 [n, modalities, L, dim], oldest first.
            there: bool [n, modalities, L].
        """
        n, modalities, length, _ = tokens.shape
        x = tokens + self.places[-length:] + self.kinds
        some = there.flatten(1).any(1)
        # a history of nothing still attends to something, and is set to zero below
        allowed = (there.flatten(1) | ~some[:, None])[:, None]
        for block in self.blocks:
            x = block(x, allowed)
        newest = (there * torch.arange(1, length + 1, device=x.device)).argmax(-1)
        last = x.gather(2, newest[..., None, None].expand(n, modalities, 1, x.shape[-1]))[:, :, 0]
        if self.weigh is None:
            single: Tensor = last[:, 0] * some[:, None]
            return single
        scores = self.weigh(last)[..., 0].masked_fill(~there.any(-1) & some[:, None], -torch.inf)
        out: Tensor = (scores.softmax(1)[..., None] * last).sum(1) * some[:, None]
        return out

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, present = self.tokens(seen)
        item = seen.of_candidates(Mean()(tokens, present))
        history, there = seen.of_histories(tokens).transpose(1, 2), seen.of_histories(present).transpose(1, 2)
        pooled = self.interest(history, there)[seen.groups]
        return torch.cat([item, pooled, item * pooled], 1), {}
