"""Sherlock (He et al., IJCAI 2016): the visual space of an item is put together along its path in the category tree.

score = e_u . e_i + t_u . [E^1_c1 f_i ; E^2_c2 f_i ; ...]; BPR, where c1, c2 ... are the categories of item i from the
root on and each category has its own matrix. Dimensions near the root are shared by many items, those near the leaves
tell apart what is alike. ``categories`` names the levels; they share ``dim`` equally, the root takes what is left over.
An item of unknown category is read by the mean of the matrices of a level; without any category this is VBPR.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.models.match.shared.categorised import CategorisedVBPR


@models.register("sherlock")
class Sherlock(CategorisedVBPR):
    """Visual dimensions by category."""

    name = "sherlock"
    paper = "He et al., Sherlock: Sparse Hierarchical Embeddings for Visually-aware One-class Collaborative Filtering, IJCAI 2016"  # fmt: skip # noqa: E501

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        dim, sizes = self.config.dim, [*self.categories.sizes.values()] or [1]
        share = dim // len(sizes)
        self.shares = [share + dim % len(sizes) * (level == 0) for level in range(len(sizes))]
        self.counts = sizes
        rows = sum(size * width for size, width in zip(sizes, self.shares))
        self.maps = nn.ParameterList(
            torch.randn(rows, width) * (2 / (dim + width)) ** 0.5 for width in shape.features.values()
        )

    def describe(self, rows: Tensor) -> Tensor:
        total = self.bias.new_zeros(len(rows), self.config.dim)
        count = self.bias.new_zeros(len(rows), 1)
        shares = [self._shares(level, rows) for level in range(len(self.counts))]
        for name, weight in zip(self.content.names, self.maps):
            every, present = self.content.linear(name, rows, weight)
            parts = every.split([size * width for size, width in zip(self.counts, self.shares)], 1)
            own = [
                torch.einsum("nk,nkd->nd", share, part.view(len(rows), share.shape[1], -1))
                for share, part in zip(shares, parts)
            ]
            total = total + torch.cat(own, 1) * present[:, None]
            count = count + present[:, None]
        scale = self.config.content_scale * len(self.content.names) / count.clamp(min=1)
        return (total * scale + self.bias) * (count > 0)

    def _shares(self, level: int, rows: Tensor) -> Tensor:
        """Weights of the matrices of a level, float32 [n, categories], which sum to one."""
        if not self.categories.sizes:
            return self.bias.new_ones(len(rows), 1)
        shares = self.categories.of([*self.categories.sizes][level], rows)
        return torch.where(shares.any(1, keepdim=True), shares, 1 / shares.shape[1])
