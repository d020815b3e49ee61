"""Regions of pictures and stretches of sound as tokens of a stream, which know where they are and can be hidden."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from palate.modules.cells import without
from palate.modules.towers import AudioTower, ImageTower, Tokens, towers

STRIDE = 4
"""Frames of an audio tower's input for each of its tokens."""


class PlacedTower(nn.Module, ABC):
    """``LN(W v) + LN(W_p place)`` of a tower's tokens.

    Args:
        tower: inputs to tokens v [B, T, d] and their mask. dim: d. size: numbers that say where a token is.
    """

    def __init__(self, tower: nn.Module, dim: int, size: int) -> None:
        super().__init__()
        self.tower = tower
        self.content, self.place = nn.Linear(dim, dim), nn.Linear(size, dim)
        self.content_norm, self.place_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.blank = nn.Parameter(torch.zeros(dim))

    @abstractmethod
    def without(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Inputs with nothing where tokens are hidden (bool [B, T])."""

    @abstractmethod
    def places(self, tokens: int) -> Tensor:
        """Where each is, float32 [tokens, size]."""

    def forward(self, inputs: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Tokens [B, T, d] and their mask.

        Args:
            hidden: bool [B, T], tokens whose content must not be known. It goes before the convolutions see it, for a
                neighbour's receptive field holds it too.
        """
        found, mask = self.tower(inputs if hidden is None else self.without(inputs, hidden))
        if hidden is not None:
            found = torch.where(hidden[:, :, None], self.blank, found)
        places = self.places(found.shape[1]).to(found)
        return self.content_norm(self.content(found)) + self.place_norm(self.place(places)), mask


@towers.register("regions")
class Regions(PlacedTower):
    """Of pictures float32 [B, 3, S, S]: the cells of an image tower's grid are the regions.

    A place is (x1, y1, x2, y2, width, height, area) in shares of the picture.

    Args:
        dim: width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(ImageTower(dim), dim, 7)

    def without(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        return without(inputs, hidden)

    def places(self, tokens: int) -> Tensor:
        return grid_boxes(tokens)


@towers.register("frames")
class Frames(PlacedTower):
    """Of log-mel maps float32 [B, 1, bands, frames]: tokens of an audio tower.

    A place is (start, end) in shares of the sound.

    Args:
        bands: mel bands. dim: width.
    """

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__(AudioTower(bands, dim), dim, 2)

    def without(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        return inputs.masked_fill(hidden.repeat_interleave(STRIDE, 1)[:, None, None, : inputs.shape[3]], 0.0)

    def places(self, tokens: int) -> Tensor:
        edges = torch.linspace(0, 1, tokens + 1)
        return torch.stack([edges[:-1], edges[1:]], 1)


def grid_boxes(regions: int) -> Tensor:
    """Boxes float32 [regions, 7] of a square grid, row by row: x1, y1, x2, y2, width, height, area."""
    side = math.isqrt(regions)
    low = torch.arange(side) / side
    y, x = torch.meshgrid(low, low, indexing="ij")
    x, y = x.flatten(), y.flatten()
    size = torch.full_like(x, 1 / side)
    return torch.stack([x, y, x + size, y + size, size, size, size * size], 1)
