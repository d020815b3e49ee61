"""Fusion of an item's modalities before a recommender: one vector of all that are present."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from palate.modules.combine import Perceptron, Transformer
from palate.modules.towers import Tokens, pooled


class ModalityFusion(nn.Module):
    """Mean of the modalities' projected means plus the output of a joint network, which is zero at first.

    So neighbours are neighbours from the start, and a missing modality is left out, not zero.

    Args:
        dims: width of each modality's tokens.
        width: of the vector.
        joint: ``perceptron`` on the mean (vectors are fused), or ``transformer`` over all tokens (tokens are fused).
    """

    def __init__(self, dims: Sequence[int], width: int, joint: Literal["perceptron", "transformer"]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in dims)
        maps = [nn.Linear(dim, width) for dim in dims]
        for layer in maps:
            nn.init.orthogonal_(layer.weight)
        self.maps = nn.ModuleList(maps)
        self.kinds = nn.Parameter(torch.empty(len(dims), width).normal_(std=0.02))
        self.joint: Perceptron | Transformer
        self.joint = Perceptron(width, width) if joint == "perceptron" else Transformer(width, width)
        last = (self.joint.layers if isinstance(self.joint, Perceptron) else self.joint.head)[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, parts: Sequence[Tokens]) -> Tensor:
        """Fuse the tokens of each modality.

        Args:
            parts: in the order of ``dims``; every item has at least one modality.

        Returns:
            Vectors [B, width].
        """
        tokens, masks, means, present = [], [], [], []
        for index, (values, mask) in enumerate(parts):
            projected = self.maps[index](self.norms[index](values)) + self.kinds[index]
            projected = torch.where(mask[:, :, None], projected, 0)
            tokens.append(projected)
            masks.append(mask)
            means.append(pooled((projected, mask)))
            present.append(mask.any(1))
        share = torch.stack(present, 1).to(means[0].dtype)
        mean = (torch.stack(means, 1) * share[:, :, None]).sum(1) / share.sum(1, keepdim=True).clamp(min=1)
        out: Tensor = mean + self.joint(torch.cat(tokens, 1), torch.cat(masks, 1))
        return out
