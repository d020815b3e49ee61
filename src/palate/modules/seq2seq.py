"""An encoder-decoder over tokens with places: read what is shown, write what is asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palate.modules.attention import RotaryAttention

Placed = tuple[Tensor, Tensor, Tensor]
"""Tokens float32 [B, T, d], which are there bool [B, T], and where they are float32 [B, T, 2]."""


def joined(parts: list[Placed]) -> Placed:
    """Parts one after the other."""
    tokens, masks, places = zip(*parts)
    return torch.cat(tokens, 1), torch.cat(masks, 1), torch.cat(places, 1)


def writing_rule(tells: Tensor) -> Tensor:
    """Who sees whom while writing: bool [B, n, n]; position t sees itself, and every earlier s with ``tells``.

    With all True this is causal attention. Dynamic masking (Unified-IO 2) takes out the inputs that the reader was not
    shown: each is seen where the next token is predicted, and nowhere else.

    Args:
        tells: bool [B, n], whether the input at a position may be seen from later ones.
    """
    n = tells.shape[1]
    earlier = torch.ones(n, n, dtype=torch.bool, device=tells.device).tril()
    itself = torch.eye(n, dtype=torch.bool, device=tells.device)
    return (earlier & tells[:, None]) | itself


class Encoder(nn.Module):
    """Pre-norm blocks in which every token sees every token that is there.

    Args:
        dim, layers, heads: sizes. qk_norm: of :class:`RotaryAttention`. dropout: while training.
    """

    def __init__(self, dim: int, layers: int, heads: int, qk_norm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(dim, heads, qk_norm, dropout, False) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, shown: Placed) -> Tensor:
        """States [B, T, d]; every row has at least one token that is there."""
        x, mask, places = shown
        for block in self.blocks:
            x = block(x, places, mask[:, None])
        states: Tensor = self.norm(x)
        return states


class Decoder(nn.Module):
    """Pre-norm blocks: self-attention under a rule, attention to what was read, a feed-forward net."""

    def __init__(self, dim: int, layers: int, heads: int, qk_norm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(dim, heads, qk_norm, dropout, True) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, places: Tensor, rule: Tensor, read: Placed) -> Tensor:
        """States [B, n, d] of inputs ``x`` [B, n, d] at ``places`` [B, n, 2], given encoder states ``read``."""
        for block in self.blocks:
            x = block(x, places, rule, read)
        states: Tensor = self.norm(x)
        return states


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, qk_norm: bool, dropout: float, crosses: bool) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(dim), RotaryAttention(dim, heads, qk_norm)
        self.cross_norm = nn.LayerNorm(dim) if crosses else None
        self.cross = RotaryAttention(dim, heads, qk_norm) if crosses else None
        self.net = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, places: Tensor, allowed: Tensor, read: Placed | None = None) -> Tensor:
        normed = self.norm(x)
        x = x + self.drop(self.attention(normed, places, normed, places, allowed))
        if self.cross is not None and self.cross_norm is not None and read is not None:
            states, mask, where = read
            x = x + self.drop(self.cross(self.cross_norm(x), places, states, where, mask[:, None]))
        out: Tensor = x + self.drop(self.net(x))
        return out
