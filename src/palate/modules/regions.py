"""Regions of pictures and stretches of sound as tokens of a stream, with positions and masking."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from palate.modules.cells import mask_cells
from palate.modules.towers import AudioTower, ImageTower, Tokens, towers

STRIDE = 4
"""Frames of an audio tower's input for each of its tokens."""


class PositionedTower(nn.Module, ABC):
    """``LN(W v) + LN(W_p position)`` of a tower's tokens.

    Args:
        tower: inputs to tokens v [B, T, d] and their mask.
        dim: d.
        size: numbers in a position.
    """

    def __init__(self, tower: nn.Module, dim: int, size: int) -> None:
        super().__init__()
        self.tower = tower
        self.content, self.place = nn.Linear(dim, dim), nn.Linear(size, dim)
        self.content_norm, self.place_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.blank = nn.Parameter(torch.zeros(dim))

    @abstractmethod
    def mask_inputs(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Inputs set to 0 where tokens are hidden (bool [B, T])."""

    @abstractmethod
    def positions(self, tokens: int) -> Tensor:
        """Position of each token, float32 [tokens, size]."""

    def forward(self, inputs: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Encode inputs.

        Args:
            inputs: [B, ...].
            hidden: bool [B, T], tokens whose content is masked. This happens before the convolutions, since a
                neighbour's receptive field covers hidden tokens too.

        Returns:
            Tokens [B, T, d] and their mask.
        """
        tokens, mask = self.tower(inputs if hidden is None else self.mask_inputs(inputs, hidden))
        if hidden is not None:
            tokens = torch.where(hidden[:, :, None], self.blank, tokens)
        positions = self.positions(tokens.shape[1]).to(tokens)
        return self.content_norm(self.content(tokens)) + self.place_norm(self.place(positions)), mask


@towers.register("regions")
class Regions(PositionedTower):
    """Regions of pictures float32 [B, 3, S, S]: the cells of an image tower's grid.

    A position is (x1, y1, x2, y2, width, height, area) in shares of the picture.

    Args:
        dim: width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(ImageTower(dim), dim, 7)

    def mask_inputs(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """As in :class:`PositionedTower`."""
        return mask_cells(inputs, hidden)

    def positions(self, tokens: int) -> Tensor:
        """As in :class:`PositionedTower`."""
        return grid_boxes(tokens)


@towers.register("frames")
class Frames(PositionedTower):
    """Stretches of log-mel maps float32 [B, 1, bands, frames]: tokens of an audio tower.

    A position is (start, end) in shares of the sound.

    Args:
        bands: mel bands.
        dim: width.
    """

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__(AudioTower(bands, dim), dim, 2)

    def mask_inputs(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """As in :class:`PositionedTower`."""
        return inputs.masked_fill(hidden.repeat_interleave(STRIDE, 1)[:, None, None, : inputs.shape[3]], 0.0)

    def positions(self, tokens: int) -> Tensor:
        """As in :class:`PositionedTower`."""
        edges = torch.linspace(0, 1, tokens + 1)
        return torch.stack([edges[:-1], edges[1:]], 1)


def grid_boxes(regions: int) -> Tensor:
    """Boxes float32 [regions, 7] of a square grid, row by row: x1, y1, x2, y2, width, height, area."""
    n = math.isqrt(regions)
    low = torch.arange(n) / n
    y, x = torch.meshgrid(low, low, indexing="ij")
    x, y = x.flatten(), y.flatten()
    size = torch.full_like(x, 1 / n)
    return torch.stack([x, y, x + size, y + size, size, size, size * size], 1)
