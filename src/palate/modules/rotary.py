"""Attention that knows where tokens are by turning queries and keys: places with two coordinates, and scaled norms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 10_000.0


def rotate(x: Tensor, places: Tensor) -> Tensor:
    """``x`` [B, h, n, c] turned by where its tokens are (RoPE, Su et al., 2021, in two dimensions).

    One half of the channels turns with the first coordinate, the other with the second, so products of queries and
    keys depend on differences of places alone.

    Args:
        places: float [B, n, 2] or [n, 2]. ``c`` is a multiple of 4.
    """
    pairs = x.shape[-1] // 4
    speed = BASE ** -(torch.arange(pairs, device=x.device) / pairs)
    angle = places[..., None] * speed
    angle = angle.flatten(-2).unsqueeze(-3)
    a, b = x.unflatten(-1, (2, 2, pairs)).unbind(-2)
    a, b = a.flatten(-2), b.flatten(-2)
    turned = torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
    return turned.flatten(-2)


class RotaryAttention(nn.Module):
    """Multi-head attention with rotary places; queries and keys may be normalised (QK-norm, Dehghani et al., 2023).

    Args:
        dim, heads: sizes; ``dim / heads`` is a multiple of 4. qk_norm: scale queries and keys to a root mean square of
            1 before learnt factors, so that logits cannot grow without bound.
    """

    def __init__(self, dim: int, heads: int, qk_norm: bool = True) -> None:
        super().__init__()
        self.heads, self.qk_norm = heads, qk_norm
        self.ask, self.tell, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.ask_scale, self.tell_scale = (nn.Parameter(torch.ones(dim // heads)) for _ in range(2))

    def forward(self, x: Tensor, x_places: Tensor, y: Tensor, y_places: Tensor, allowed: Tensor) -> Tensor:
        """What ``x`` [B, n, d] reads of ``y`` [B, m, d] where ``allowed`` bool [B, n or 1, m] is True: [B, n, d].

        Args:
            x_places, y_places: float [B, n, 2] and [B, m, 2].
        """
        q, k, v = (self._split(part) for part in (self.ask(x), *self.tell(y).chunk(2, 2)))
        q, k = self._scaled(q) * self.ask_scale, self._scaled(k) * self.tell_scale
        found = F.scaled_dot_product_attention(rotate(q, x_places), rotate(k, y_places), v, attn_mask=allowed[:, None])
        merged: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(2, (self.heads, -1))
        return parts.transpose(1, 2)

    def _scaled(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() if self.qk_norm else x
