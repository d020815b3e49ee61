"""A diffusion transformer (DiT, Peebles & Xie, ICCV 2023) that also reads condition tokens by cross-attention.

Every condition token j has a weight w_j > 0, added to the logits of attention as log w_j and used in the mean that
modulates the layers: a token of weight 2 does what the same token given twice does, and weights may be any number.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Attention of places to condition tokens, or of places to each other.

    Args:
        dim: width.
        heads: that divide it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, dim)
        self.kv_proj = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, tokens: Tensor, log_weights: Tensor | None = None) -> Tensor:
        """What each place of ``x`` reads.

        Args:
            x: [B, n, dim].
            tokens: [B, m, dim].
            log_weights: [B, m], -inf for padding.
        """
        query, (key, value) = self._split(self.q_proj(x)), map(self._split, self.kv_proj(tokens).chunk(2, -1))
        bias = None if log_weights is None else log_weights[:, None, None, :]
        read = F.scaled_dot_product_attention(query, key, value, bias)
        out: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        out: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return out


class Block(nn.Module):
    """Self-attention and feed-forward layer, both modulated (adaLN-Zero), with cross-attention between them.

    Args:
        dim: width.
        heads: of attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim, elementwise_affine=False) for _ in range(3))
        self.own = CrossAttention(dim, heads)
        self.cross = CrossAttention(dim, heads)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU("tanh"), nn.Linear(4 * dim, dim))
        self.modulation = nn.Linear(dim, 6 * dim)
        for layer in (self.modulation, self.cross.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, tokens: Tensor, log_weights: Tensor, modulator: Tensor) -> Tensor:
        shift, scale, gate, shift_feed, scale_feed, gate_feed = self.modulation(modulator)[:, None].chunk(6, -1)
        inner = self.norms[0](x) * (1 + scale) + shift
        x = x + gate * self.own(inner, inner)
        x = x + self.cross(self.norms[1](x), tokens, log_weights)
        out: Tensor = x + gate_feed * self.feed(self.norms[2](x) * (1 + scale_feed) + shift_feed)
        return out


class DiffusionTransformer(nn.Module):
    """Predicts v of noisy latents at a time, given condition tokens.

    Args:
        channels: of the latents.
        places: height and width of the latents.
        patch: places on the side of the square that one token stands for; divides ``places``.
        dim: width, a multiple of 4 and of ``heads``.
        depth: blocks.
        heads: of attention.
    """

    positions: Tensor

    def __init__(self, channels: int, places: int, patch: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Conv2d(channels, dim, patch, stride=patch)
        self.register_buffer("positions", grid_positions(places // patch, dim), persistent=False)
        self.time = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.final_modulation = nn.Linear(dim, 2 * dim)
        self.final = nn.Linear(dim, channels * patch * patch)
        for layer in (self.final_modulation, self.final):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, time: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
        """v, of the shape of ``z``.

        Args:
            z: [B, channels, places, places].
            time: [B].
            tokens: [B, m, dim].
            weights: [B, m], 0 for padding; at least one of each example is above 0.
        """
        x = self.embed(z)
        height, width = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2) + self.positions
        mean = (tokens * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
        modulator = F.silu(self.time(time_features(time, x.shape[-1])) + mean)
        log_weights = weights.log()
        for block in self.blocks:
            x = block(x, tokens, log_weights, modulator)
        shift, scale = self.final_modulation(modulator)[:, None].chunk(2, -1)
        x = self.final(self.norm(x) * (1 + scale) + shift)
        x = x.transpose(1, 2).unflatten(2, (height, width))
        return F.pixel_shuffle(x, self.patch)


def time_features(time: Tensor, dim: int) -> Tensor:
    """Sines and cosines of a time at ``dim / 2`` frequencies from 1 to 1000 radians, [B, dim].

    Args:
        time: [B], in [0, 1].
        dim: even.
    """
    frequencies = torch.exp(torch.linspace(0, math.log(1000.0), dim // 2, device=time.device))
    angles = time.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def grid_positions(side: int, dim: int) -> Tensor:
    """Sines and cosines of row and column, float32 [side * side, dim].

    Args:
        side: rows, and columns.
        dim: a multiple of 4.
    """
    frequencies = torch.exp(-math.log(100.0) * torch.arange(dim // 4) / (dim // 4))
    angles = torch.arange(side)[:, None] * frequencies
    one = torch.cat([angles.sin(), angles.cos()], 1)
    rows = one[:, None].expand(side, side, -1)
    columns = one[None].expand(side, side, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)
