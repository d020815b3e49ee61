"""Pictures and log-mel maps as a grid of cells: encoded as tokens, and quantised to codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.quantise import VectorQuantiser, straight_through
from palate.modules.towers import ImageTower, Tokens, towers

CELL_SIZE = 16
"""Side of a cell, in pixels, or in bands and frames."""
CODEBOOK_LR_SCALE = 10.0
"""Cells' vectors have variance 1, so at the autoencoder's own learning rate unused codes would take long to return."""


def cell_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells of a map; the last ones may be cut."""
    return -(-height // CELL_SIZE), -(-width // CELL_SIZE)


def grid_positions(rows: int, columns: int) -> Tensor:
    """(row, column) of every cell, float32 [rows * columns, 2], row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([y.flatten(), x.flatten()], 1).float()


def mask_cells(maps: Tensor, hidden: Tensor) -> Tensor:
    """Set hidden cells to 0.

    This happens before the convolutions, since a neighbour's receptive field covers hidden cells too.

    Args:
        maps: [B, C, H, W].
        hidden: bool [B, R].

    Returns:
        [B, C, H, W].
    """
    rows, columns = cell_grid(*maps.shape[2:])
    cells = hidden.to(maps.dtype).view(-1, 1, rows, columns)
    pixels = cells.repeat_interleave(CELL_SIZE, 2).repeat_interleave(CELL_SIZE, 3)
    return maps * (1 - pixels[:, :, : maps.shape[2], : maps.shape[3]])


@towers.register("cells")
class CellTower(nn.Module):
    """Residual convolutions over maps float32 [B, 1 or 3, H, W]; every cell is a token.

    Args:
        dim: width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.tower = ImageTower(dim)

    def forward(self, maps: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Encode maps.

        Args:
            maps: float32 [B, 1 or 3, H, W].
            hidden: bool [B, R], cells that are masked out and that other cells do not see either.

        Returns:
            Tokens [B, R, d] and their mask.
        """
        visible = maps if hidden is None else mask_cells(maps, hidden)
        tokens, mask = self.tower(visible.expand(-1, 3, -1, -1))
        return tokens, mask if hidden is None else ~hidden


class CellAutoencoder(nn.Module):
    """A quantising autoencoder, cell by cell: a code depends on its own cell alone.

    Args:
        channels: of the maps.
        codes: number of codes.
        dim: width of a code.
        width: of the layers.
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
        self.quantise = VectorQuantiser(codes, dim, lr_scale=CODEBOOK_LR_SCALE)

    def vectors(self, maps: Tensor) -> Tensor:
        """Vectors to quantise, float32 [B, R, dim]; maps are padded to full cells with their last pixels.

        They have mean 0 and variance 1: the codebook cannot follow vectors that are free to grow.
        """
        rows, columns = cell_grid(*maps.shape[2:])
        padding = (0, columns * CELL_SIZE - maps.shape[3], 0, rows * CELL_SIZE - maps.shape[2])
        encoded: Tensor = self.encode(F.pad(maps, padding, mode="replicate"))
        return F.layer_norm(encoded.flatten(2).transpose(1, 2), encoded.shape[1:2])

    @torch.no_grad()
    def ids(self, maps: Tensor) -> Tensor:
        """Codes int64 [B, R] of maps float32 [B, channels, H, W]."""
        return self.quantise.nearest(self.vectors(maps))

    def reconstruct(self, vectors: Tensor, height: int, width: int) -> Tensor:
        """Maps float32 [B, channels, height, width] from vectors of codes [B, R, dim]."""
        rows, columns = cell_grid(height, width)
        maps: Tensor = self.decode(vectors.transpose(1, 2).unflatten(2, (rows, columns)))
        return maps[:, :, :height, :width]

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps reconstructed from their codes, and the loss: mean squared error of pixels and the quantiser's."""
        vectors = self.vectors(maps)
        codes, _, loss = self.quantise(vectors)
        reconstructed = self.reconstruct(straight_through(vectors, codes), *maps.shape[2:])
        return reconstructed, F.mse_loss(reconstructed, maps) + loss
