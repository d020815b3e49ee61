"""One vector of an item from one vector of each modality that it has.

All take tokens float32 [B, m, d] and a mask bool [B, m], and give [B, width]; masked tokens are not read. A row must
have at least one token. An item with a single modality is a row with a single token, so each is an encoder of every
modality as well.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

INIT_SCALE = 0.01
"""Scale of the last layer of :class:`Residual` before training."""


class Mean(nn.Module):
    """Mean of the present tokens, unchanged: ``dim`` is the width."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, d]."""
        weight = mask.to(tokens.dtype)[:, :, None]
        return torch.where(mask[:, :, None], tokens, 0).sum(1) / weight.sum(1).clamp(min=1)


class Perceptron(nn.Module):
    """Two-layer net on the concatenation of modalities.

    A linear map of a concatenation is a sum of linear maps, scaled here to the present modalities.

    Args:
        dim: width of the tokens.
        width: of the vector.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.mean = Mean()
        self.layers = nn.Sequential(nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, width]."""
        out: Tensor = self.layers(self.mean(tokens, mask))
        return out


class Residual(nn.Module):
    """Mean of the present tokens plus a two-layer net of it, which is close to zero before training.

    Args:
        dim: width of the tokens and of the vector.
        width: equal to ``dim``.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.mean = Mean()
        last = nn.Linear(dim, width)
        with torch.no_grad():
            last.weight.mul_(INIT_SCALE)
            last.bias.zero_()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), last)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, width]."""
        mean: Tensor = self.mean(tokens, mask)
        out: Tensor = mean + self.layers(mean)
        return out


class Transformer(nn.Module):
    """[CLS] and the tokens attend to each other; two layers on the state of [CLS].

    Args:
        dim: width of the tokens.
        width: of the vector.
        layers: of the Transformer.
        heads: of the Transformer.
        dropout: while training.
    """

    def __init__(self, dim: int, width: int, layers: int = 1, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, width]."""
        with_cls = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], dim=1)
        present = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
        out: Tensor = self.head(self.layers(with_cls, src_key_padding_mask=~present)[:, 0])
        return out


CombineKind = Literal["mean", "perceptron", "residual", "transformer"]


def make_combine(kind: CombineKind, dim: int, width: int, **sizes: Any) -> nn.Module:
    """Make the module that turns tokens of ``dim`` into a vector of ``width``.

    Args:
        kind: which of the four.
        dim: width of the tokens.
        width: of the vector.
        **sizes: further arguments of its constructor.
    """
    if kind == "mean":
        return Mean()
    kinds: dict[str, type[nn.Module]] = {"perceptron": Perceptron, "residual": Residual, "transformer": Transformer}
    return kinds[kind](dim=dim, width=width, **sizes)
