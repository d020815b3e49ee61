"""An encoder-decoder over tokens with positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palate.modules.attention import RotaryAttention

PositionedTokens = tuple[Tensor, Tensor, Tensor]
"""Tokens float32 [B, T, d], their mask bool [B, T] (True where present), and positions float32 [B, T, 2]."""


def concat_tokens(parts: list[PositionedTokens]) -> PositionedTokens:
    """Concatenate parts along the sequence."""
    tokens, masks, positions = zip(*parts)
    return torch.cat(tokens, 1), torch.cat(masks, 1), torch.cat(positions, 1)


def decoder_mask(visible: Tensor) -> Tensor:
    """Attention mask of a decoder: position t attends to itself, and to every earlier s that is ``visible``.

    With all True this is causal attention. Dynamic masking (Unified-IO 2) takes out the inputs that the encoder was not
    shown: each is seen where the next token is predicted, and nowhere else.

    Args:
        visible: bool [B, n], whether later positions may attend to the input at a position.

    Returns:
        bool [B, n, n].
    """
    n = visible.shape[1]
    earlier = torch.ones(n, n, dtype=torch.bool, device=visible.device).tril()
    itself = torch.eye(n, dtype=torch.bool, device=visible.device)
    return (earlier & visible[:, None]) | itself


class Encoder(nn.Module):
    """Pre-norm blocks in which every token attends to every present token.

    Args:
        dim: width.
        layers: number of blocks.
        heads: of the attention.
        qk_norm: of :class:`RotaryAttention`.
        dropout: while training.
    """

    def __init__(self, dim: int, layers: int, heads: int, qk_norm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(dim, heads, qk_norm, dropout, False) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, inputs: PositionedTokens) -> Tensor:
        """States [B, T, d]; every row has at least one present token."""
        x, mask, positions = inputs
        for block in self.blocks:
            x = block(x, positions, mask[:, None])
        states: Tensor = self.norm(x)
        return states


class Decoder(nn.Module):
    """Pre-norm blocks: masked self-attention, attention to the encoder's states, a feed-forward net.

    Args:
        dim: width.
        layers: number of blocks.
        heads: of the attention.
        qk_norm: of :class:`RotaryAttention`.
        dropout: while training.
    """

    def __init__(self, dim: int, layers: int, heads: int, qk_norm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(dim, heads, qk_norm, dropout, True) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, positions: Tensor, allowed: Tensor, encoded: PositionedTokens) -> Tensor:
        """Run the decoder.

        Args:
            x: inputs [B, n, d].
            positions: float [B, n, 2].
            allowed: bool [B, n, n], see :func:`decoder_mask`.
            encoded: states of the encoder.

        Returns:
            States [B, n, d].
        """
        for block in self.blocks:
            x = block(x, positions, allowed, encoded)
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

    def forward(self, x: Tensor, positions: Tensor, allowed: Tensor, encoded: PositionedTokens | None = None) -> Tensor:
        normed = self.norm(x)
        x = x + self.drop(self.attention(normed, positions, normed, positions, allowed))
        if self.cross is not None and self.cross_norm is not None and encoded is not None:
            states, mask, encoded_positions = encoded
            x = x + self.drop(self.cross(self.cross_norm(x), positions, states, encoded_positions, mask[:, None]))
        out: Tensor = x + self.drop(self.net(x))
        return out
