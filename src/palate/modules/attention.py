"""Multi-head attention of one set of tokens on another, plain or with rotary positions of two coordinates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 10_000.0
"""Base of the rotary frequencies."""


class _MultiHead(nn.Module):
    """Projections and read-out that both kinds of attention share."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        # queries; keys and values; output
        self.ask, self.tell, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def _project(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, h, n, c] of ``x``, keys and values [B, h, m, c] of ``y``."""
        q, k, v = (self._split_heads(part) for part in (self.ask(x), *self.tell(y).chunk(2, 2)))
        return q, k, v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
        mask = None if allowed is None else allowed[:, None]
        states = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(states.transpose(1, 2).flatten(2))
        return out

    def _split_heads(self, x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(2, (self.heads, -1))
        return parts.transpose(1, 2)


class Attention(_MultiHead):
    """Multi-head attention without positions.

    Args:
        dim: width of the tokens, a multiple of ``heads``.
        heads: number of heads.
    """

    def forward(self, x: Tensor, y: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Let ``x`` attend to ``y``.

        Args:
            x: [B, n, d].
            y: [B, m, d].
            allowed: bool [B, n, m], True where a token of ``x`` attends to one of ``y``; everywhere if None.

        Returns:
            [B, n, d].
        """
        return self._attend(*self._project(x, y), allowed)


class RotaryAttention(_MultiHead):
    """Multi-head attention with rotary positions and, optionally, normalised queries and keys.

    Args:
        dim: width of the tokens; ``dim / heads`` is a multiple of 4.
        heads: number of heads.
        qk_norm: scale queries and keys to a root mean square of 1 before learnt factors, so that logits cannot grow
            without bound (QK-norm, Dehghani et al., 2023).
    """

    def __init__(self, dim: int, heads: int, qk_norm: bool = True) -> None:
        super().__init__(dim, heads)
        self.qk_norm = qk_norm
        self.ask_scale, self.tell_scale = (nn.Parameter(torch.ones(dim // heads)) for _ in range(2))

    def forward(self, x: Tensor, x_positions: Tensor, y: Tensor, y_positions: Tensor, allowed: Tensor) -> Tensor:
        """Let ``x`` attend to ``y``.

        Args:
            x: [B, n, d].
            x_positions: float [B, n, 2].
            y: [B, m, d].
            y_positions: float [B, m, 2].
            allowed: bool [B, n or 1, m], True where a token of ``x`` attends to one of ``y``.

        Returns:
            [B, n, d].
        """
        q, k, v = self._project(x, y)
        q, k = self._scaled(q) * self.ask_scale, self._scaled(k) * self.tell_scale
        return self._attend(rotate(q, x_positions), rotate(k, y_positions), v, allowed)

    def _scaled(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() if self.qk_norm else x


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Rotate channels by the positions of their tokens (RoPE, Su et al., 2021, in two dimensions).

    One half of the channels rotates with the first coordinate, the other with the second, so products of queries and
    keys depend on differences of positions alone.

    Args:
        x: [B, h, n, c]; ``c`` is a multiple of 4.
        positions: float [B, n, 2] or [n, 2].

    Returns:
        [B, h, n, c].
    """
    pairs = x.shape[-1] // 4
    frequency = BASE ** -(torch.arange(pairs, device=x.device) / pairs)
    angle = positions[..., None] * frequency
    angle = angle.flatten(-2).unsqueeze(-3)
    a, b = x.unflatten(-1, (2, 2, pairs)).unbind(-2)
    a, b = a.flatten(-2), b.flatten(-2)
    rotated = torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
    return rotated.flatten(-2)
