"""One Transformer for several modalities, each with its own feed-forward nets (Multiway, BEiT-3's backbone)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palate.modules.attention import Attention
from palate.modules.towers import Tokens, make_tower, towers

COMMON = "common"
"""Name of the feed-forward net that all modalities share."""


class Multiway(nn.Module):
    """Pre-norm blocks of shared self-attention and a feed-forward net for each modality (Wang et al., CVPR 2023).

    In the last block one net serves all modalities.

    Args:
        modalities: all that may occur.
        dim: width.
        layers: number of blocks.
        heads: of the attention.
        dropout: while training.
    """

    def __init__(
        self, modalities: Sequence[str], dim: int, layers: int = 2, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        last = layers - 1
        self.blocks = nn.ModuleList(
            _Block((COMMON,) if i == last else tuple(modalities), dim, heads, dropout) for i in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, parts: Mapping[str, Tokens]) -> dict[str, Tensor]:
        """States [B, T_m, d] of each modality's tokens; masked tokens change nothing."""
        x = {modality: tokens for modality, (tokens, _) in parts.items()}
        present = torch.cat([mask for _, mask in parts.values()], 1)
        # a masked token attends to itself, for attention to nothing is NaN
        allowed = present[:, None] | torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
        for block in self.blocks:
            x = block(x, allowed)
        return {modality: self.norm(states) for modality, states in x.items()}


class _Block(nn.Module):
    def __init__(self, experts: Sequence[str], dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.nets = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
                for name in experts
            }
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: dict[str, Tensor], allowed: Tensor) -> dict[str, Tensor]:
        sizes = [states.shape[1] for states in x.values()]
        normed = self.norm(torch.cat([*x.values()], 1))
        attended = self.drop(self.attention(normed, normed, allowed)).split(sizes, 1)
        out = {}
        for (modality, states), added in zip(x.items(), attended):
            states = states + added
            net = self.nets[COMMON if COMMON in self.nets else modality]
            out[modality] = states + self.drop(net(states))
        return out


@towers.register("multiway")
class SingleModalityMultiway(nn.Module):
    """A multiway Transformer over one modality alone.

    Args:
        modality: its name.
        reader: arguments of :func:`palate.modules.towers.make_tower` for the tower that makes the tokens.
        dim: width of the Transformer.
        layers: of the Transformer.
        heads: of the Transformer.
    """

    def __init__(self, modality: str, reader: Mapping[str, Any], dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.modality = modality
        self.reader = make_tower(**reader)
        self.stream = Multiway((modality,), dim, layers, heads)

    def forward(self, inputs: Tensor) -> Tokens:
        """States [B, T, d] and their mask."""
        tokens: Tokens = self.reader(inputs)
        return self.stream({self.modality: tokens})[self.modality], tokens[1]
