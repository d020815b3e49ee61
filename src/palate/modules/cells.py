"""Pictures and log-mel maps as a grid of cells: read as tokens, and written as codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.quantise import VectorQuantiser, straight_through
from palate.modules.towers import ImageTower, Tokens, towers

SIDE = 16
"""Pixels, or bands and frames, on the side of a cell."""
PACE = 10.0
"""Of codes: cells' vectors are of variance 1, so at the coder's own pace unused codes would take long to come back."""


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells; those at the end may be cut."""
    return -(-height // SIDE), -(-width // SIDE)


def grid_places(rows: int, columns: int) -> Tensor:
    """(row, column) of every cell, float32 [rows * columns, 2], row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([y.flatten(), x.flatten()], 1).float()


def without(maps: Tensor, hidden: Tensor) -> Tensor:
    """``maps`` [B, C, H, W] with hidden cells (bool [B, R]) at 0.

    They go before convolutions see them: a neighbour's receptive field holds them too.
    """
    rows, columns = grid(*maps.shape[2:])
    cells = hidden.to(maps.dtype).view(-1, 1, rows, columns)
    whole = cells.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)
    return maps * (1 - whole[:, :, : maps.shape[2], : maps.shape[3]])


@towers.register("cells")
class Cells(nn.Module):
    """Residual convolutions over maps float32 [B, 1 or 3, H, W]; every cell is a token.

    Args:
        dim: width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.tower = ImageTower(dim)

    def forward(self, maps: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Tokens [B, R, d] and their mask: hidden cells (bool [B, R]) are neither there nor seen by the others."""
        shown = maps if hidden is None else without(maps, hidden)
        found, mask = self.tower(shown.expand(-1, 3, -1, -1))
        return found, mask if hidden is None else ~hidden


class CellCodes(nn.Module):
    """A quantising autoencoder, cell by cell: a code tells of its own cell and of nothing beside it.

    Args:
        channels: of the maps. codes: number of codes. dim: of a code. width: of the layers.
    """

    def __init__(self, channels: int, codes: int, dim: int = 32, width: int = 64) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(channels, width, 4, 4), nn.GELU(), nn.Conv2d(width, 2 * width, 4, 4), nn.GELU(),
            nn.Conv2d(2 * width, dim, 1),
        )  # fmt: skip
        self.decode = nn.Sequential(
            nn.Conv2d(dim, 2 * width, 1), nn.GELU(), nn.ConvTranspose2d(2 * width, width, 4, 4), nn.GELU(),
            nn.ConvTranspose2d(width, channels, 4, 4),
        )  # fmt: skip
        self.quantise = VectorQuantiser(codes, dim, pace=PACE)

    def vectors(self, maps: Tensor) -> Tensor:
        """What is to be quantised, float32 [B, R, dim]; maps are filled up to whole cells with their last pixels.

        Of mean 0 and variance 1: the book cannot follow vectors that are free to grow.
        """
        rows, columns = grid(*maps.shape[2:])
        fill = (0, columns * SIDE - maps.shape[3], 0, rows * SIDE - maps.shape[2])
        found: Tensor = self.encode(F.pad(maps, fill, mode="replicate"))
        return F.layer_norm(found.flatten(2).transpose(1, 2), found.shape[1:2])

    @torch.no_grad()
    def ids(self, maps: Tensor) -> Tensor:
        """Codes int64 [B, R] of maps float32 [B, channels, H, W]."""
        return self.quantise.nearest(self.vectors(maps))

    def draw(self, vectors: Tensor, height: int, width: int) -> Tensor:
        """Maps float32 [B, channels, height, width] from vectors of codes [B, R, dim]."""
        rows, columns = grid(height, width)
        made: Tensor = self.decode(vectors.transpose(1, 2).unflatten(2, (rows, columns)))
        return made[:, :, :height, :width]

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps drawn from their codes, and the loss: mean squared error of pixels and the quantiser's."""
        vectors = self.vectors(maps)
        found, _, loss = self.quantise(vectors)
        drawn = self.draw(straight_through(vectors, found), *maps.shape[2:])
        return drawn, F.mse_loss(drawn, maps) + loss
