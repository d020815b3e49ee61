"""Towers: one entity of one modality to a vector and to tokens, small enough to train on a catalogue of thousands.

All take an input and give ``(tokens [B, T, d], mask bool [B, T])``; :func:`pooled` makes one vector of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.registry import Registry

PAD, UNKNOWN = 0, 1
"""Token ids of padding, and of what is no known word."""

Tokens = tuple[Tensor, Tensor]


def known(ids: Tensor, words: nn.Embedding) -> Tensor:
    """Ids int64 as a table of words can look them up: a piece that no training text showed is ``UNKNOWN``."""
    return torch.where(ids < words.num_embeddings, ids, UNKNOWN).long()


towers: Registry[type[nn.Module]] = Registry("tower", ("palate.modules",))


@towers.register("text")
class TextTower(nn.Module):
    """A pre-norm Transformer over token ids [B, T] (whole numbers of any type), ``PAD`` where there is none.

    Args:
        vocabulary: number of ids. dim, layers, heads: sizes. length: positions at most. dropout: while training.
    """

    def __init__(
        self, vocabulary: int, dim: int = 128, layers: int = 2, heads: int = 4, length: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.places = nn.Parameter(torch.zeros(length, dim))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places, std=0.02)
        with torch.no_grad():
            self.words.weight[PAD].zero_()
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    def embed(self, ids: Tensor) -> Tensor:
        """Input vectors float32 [B, T, d]."""
        out: Tensor = self.words(ids) + self.places[: ids.shape[1]]
        return out

    def forward(self, ids: Tensor) -> Tokens:
        ids = known(ids, self.words)
        mask = ids != PAD
        # a row without any token would attend to nothing, which is NaN
        open_ = mask.clone()
        open_[:, 0] = True
        found = self.layers(self.embed(ids), src_key_padding_mask=~open_)
        return self.norm(found), mask


@towers.register("image")
class ImageTower(nn.Module):
    """Residual convolutions over pictures float32 [B, 3, S, S]; the last grid, S / 16 on a side, is the tokens.

    Args:
        dim: width. channels: of each stage; the first makes a quarter of the sides, the others a half.
    """

    def __init__(self, dim: int = 128, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        wide = (3, *channels)
        self.stages = nn.ModuleList(_Stage(a, b, 4 if i == 0 else 2) for i, (a, b) in enumerate(pairwise(wide)))
        self.out = nn.Linear(channels[-1], dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pictures: Tensor) -> Tokens:
        found = pictures
        for stage in self.stages:
            found = stage(found)
        tokens = self.norm(self.out(found.flatten(2).transpose(1, 2)))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


@towers.register("audio")
class AudioTower(nn.Module):
    """Convolutions over time of log-mel maps float32 [B, 1, bands, frames]; every token is a stretch of time.

    Args:
        bands: mel bands. dim: width. channels: of each layer; each but the first halves time.
    """

    def __init__(self, bands: int, dim: int = 128, channels: tuple[int, ...] = (64, 128, 128)) -> None:
        super().__init__()
        wide = (bands, *channels)
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, 5, stride=1 if i == 0 else 2, padding=2) for i, (a, b) in enumerate(pairwise(wide))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in channels)
        self.out = nn.Linear(channels[-1], dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, sounds: Tensor) -> Tokens:
        found = sounds.squeeze(1)
        for layer, norm in zip(self.layers, self.norms):
            found = F.gelu(norm(layer(found)))
        tokens = self.norm(self.out(found.transpose(1, 2)))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


class _Stage(nn.Module):
    """Shrink the sides, then one residual block."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, after, stride + 1, stride=stride, padding=stride // 2)
        self.norms = nn.ModuleList(nn.GroupNorm(8, after) for _ in range(3))
        self.block = nn.ModuleList(nn.Conv2d(after, after, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norms[0](self.down(x)))
        inner = F.gelu(self.norms[1](self.block[0](x)))
        return F.gelu(x + self.norms[2](self.block[1](inner)))


def pooled(tokens: Tokens) -> Tensor:
    """Mean of the tokens that are there [B, d]; zero where there is none."""
    values, mask = tokens
    weight = mask.to(values.dtype)[:, :, None]
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1)


def make_tower(kind: str, **sizes: Any) -> nn.Module:
    """The tower registered as ``kind``; ``sizes`` are its constructor's arguments.

    Raises:
        ConfigError: when there is none of this kind.
    """
    made: nn.Module = towers.get(kind)(**sizes)
    return made
