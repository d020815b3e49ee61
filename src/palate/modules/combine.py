"""One vector of an item from one vector of each modality that it has.

All take tokens float32 [B, m, d] and a mask bool [B, m], and give [B, width]; what the mask hides is not read. A row
must have at least one token. An item with a single modality is a row with a single token, so each is an encoder of
every modality as well.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

FAINT = 0.01


class Mean(nn.Module):
    """The mean of what is there, unchanged: ``dim`` is the width."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        weight = mask.to(tokens.dtype)[:, :, None]
        return torch.where(mask[:, :, None], tokens, 0).sum(1) / weight.sum(1).clamp(min=1)


class Perceptron(nn.Module):
    """Concatenation and a two-layer net: a linear map of a concatenation is a sum of linear maps, scaled here to what
    is there.

    Args:
        dim: of the tokens. width: of the vector.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.mean = Mean()
        self.layers = nn.Sequential(nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.layers(self.mean(tokens, mask))
        return out


class Residual(nn.Module):
    """The mean of what is there, and what a two-layer net adds to it: next to nothing before training.

    Args:
        dim: of the tokens and of the vector, which is ``width`` as well.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.mean = Mean()
        last = nn.Linear(dim, width)
        with torch.no_grad():
            last.weight.mul_(FAINT)
            last.bias.zero_()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), last)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.mean(tokens, mask)
        out: Tensor = found + self.layers(found)
        return out


class Transformer(nn.Module):
    """[CLS] and the tokens attend to each other; two layers on what [CLS] became.

    Args:
        dim: of the tokens. width: of the vector. layers, heads: of the Transformer. dropout: while training.
    """

    def __init__(self, dim: int, width: int, layers: int = 1, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        whole = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], dim=1)
        seen = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
        out: Tensor = self.head(self.layers(whole, src_key_padding_mask=~seen)[:, 0])
        return out


Kind = Literal["mean", "perceptron", "residual", "transformer"]


def make_combine(kind: Kind, dim: int, width: int, **sizes: Any) -> nn.Module:
    """What turns tokens of ``dim`` into a vector of ``width``; ``sizes`` are further arguments of its constructor."""
    if kind == "mean":
        return Mean()
    made: dict[str, type[nn.Module]] = {"perceptron": Perceptron, "residual": Residual, "transformer": Transformer}
    return made[kind](dim=dim, width=width, **sizes)
