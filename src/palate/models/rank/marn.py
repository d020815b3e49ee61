"""MARN (Li et al., WWW 2020): what modalities have in common, and what each alone knows of an item.

Of the vectors e_m of an item's fields and modalities:

- specific s_m = S_m e_m, summed by attention of each dimension: s = sum_m tanh(W_m s_m + b_m) * s_m;
- invariant c_m = C e_m, c = max_m c_m; two discriminators see to it that c_m does not tell its modality
  (:class:`palate.modules.adversarial.DoubleDiscriminator`);
- v = s + c. A GRU over the history's v and target attention on its states pool the history.

L = L_click + ``adversarial`` (L_D0 + L_D1) + ``orthogonality`` mean_m (s_m . c_m)^2. Our choices: e_m are linear maps
of frozen vectors; a GRU without the paper's gates for properties of behaviours, as our histories hold clicks alone.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.adversarial import DoubleDiscriminator
from palate.modules.recurrent import run_in_order
from palate.modules.target_attention import TargetAttention


@models.register("marn")
class MARN(ContentRanker):
    """Click-through prediction from specific and invariant parts of modalities."""

    name = "marn"
    paper = "Li et al., Adversarial Multimodal Representation Learning for Click-Through Rate Prediction, WWW 2020"

    class Config(ContentRankerConfig):
        """Settings."""

        adversarial: float = Field(0.05, ge=0, description="weight of the discriminators of modalities; 0 has none")
        orthogonality: float = Field(0.05, ge=0, description="weight of products of specific and invariant parts")

    config: Config

    def build_reader(self, dim: int) -> int:
        modalities = 1 + len(self.content.names)
        self.specific = nn.Parameter(torch.randn(modalities, dim, dim) * dim**-0.5)
        self.gate = nn.Parameter(torch.randn(modalities, dim, dim) * dim**-0.5)
        # attention starts near 1: at 0 nothing of an item would be read
        self.gate_bias = nn.Parameter(torch.ones(modalities, dim))
        self.invariant = nn.Linear(dim, dim, bias=False)
        self.opponents = DoubleDiscriminator(dim, modalities) if modalities > 1 and self.config.adversarial else None
        self.evolve = nn.GRU(dim, dim, batch_first=True)
        self.attend = TargetAttention(dim, self.config.attention)
        return 3 * dim

    def divide(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """An item's vector and its parts.

        Args:
            tokens: float32 [n, modalities, dim].
            present: bool [n, modalities].

        Returns:
            Vectors float32 [n, dim], zero where nothing is present; specific and invariant parts float32
            [n, modalities, dim].
        """
        specific = torch.einsum("nmd,mde->nme", tokens, self.specific)
        weights = (torch.einsum("nmd,mde->nme", specific, self.gate) + self.gate_bias).tanh()
        invariant = self.invariant(tokens)
        summed = (weights * specific * present[..., None]).sum(1)
        common = invariant.masked_fill(~present[..., None], -torch.inf).amax(1)
        common = torch.where(present.any(1, keepdim=True), common, 0)
        return summed + common, specific, invariant

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, present = self.tokens(seen)
        vectors, specific, invariant = self.divide(tokens, present)
        item = seen.of_candidates(vectors)
        states = run_in_order(self.evolve, seen.of_histories(vectors), seen.taken)[seen.groups]
        pooled = self.attend(item, states, seen.there)
        losses = self.divided(specific, invariant, present) if learning else {}
        return torch.cat([item, pooled, item * pooled], 1), losses

    def divided(self, specific: Tensor, invariant: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Losses that keep the parts apart: ``adversarial`` and ``orthogonality``, weighted.

        Args:
            specific: float32 [n, modalities, dim].
            invariant: float32 [n, modalities, dim].
            present: bool [n, modalities].
        """
        c, losses = self.config, {}
        if self.opponents is not None:
            first, second = self.opponents(invariant, present)
            losses["adversarial"] = c.adversarial * (first + second)
        if c.orthogonality:
            squares = (specific * invariant).sum(-1).square() * present
            losses["orthogonality"] = c.orthogonality * squares.sum() / present.sum().clamp(min=1)
        return losses
