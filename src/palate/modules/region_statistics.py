"""Descriptors of regions that nothing is trained for: colours and edges of cells, bands of stretches of sound."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.modules.cells import CELL_SIZE, cell_grid

DIRECTIONS = 8
"""Directions of edges that are told apart; an edge and its opposite are one."""


def cell_statistics(maps: Tensor) -> Tensor:
    """Describe every cell of pictures by colours and edges.

    Of each channel the means of the cell's quarters and the deviation; of the channels' mean how much of its gradient
    points in which direction (after Dalal & Triggs, CVPR 2005).

    Args:
        maps: float32 [B, C, H, W]; the last cells are filled up with the last pixels.

    Returns:
        float32 [B, R, 5 C + 8], cells row by row.
    """
    rows, columns = cell_grid(*maps.shape[2:])
    padding = (0, columns * CELL_SIZE - maps.shape[3], 0, rows * CELL_SIZE - maps.shape[2])
    filled = F.pad(maps, padding, mode="replicate")
    quarters = F.avg_pool2d(filled, CELL_SIZE // 2).unflatten(2, (rows, 2)).unflatten(4, (columns, 2))
    mean = F.avg_pool2d(filled, CELL_SIZE)
    deviation = (F.avg_pool2d(filled.square(), CELL_SIZE) - mean.square()).clamp(min=0).sqrt()
    parts = [quarters.permute(0, 2, 4, 1, 3, 5).flatten(3), deviation.permute(0, 2, 3, 1), _edges(filled)]
    return torch.cat(parts, 3).flatten(1, 2)


def _edges(maps: Tensor) -> Tensor:
    """Mean length of the gradient by direction, float32 [B, rows, columns, DIRECTIONS]."""
    grey = F.pad(maps.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    dx, dy = (grey[:, 0, 1:-1, 2:] - grey[:, 0, 1:-1, :-2]) / 2, (grey[:, 0, 2:, 1:-1] - grey[:, 0, :-2, 1:-1]) / 2
    place = (torch.atan2(dy, dx) / math.pi * DIRECTIONS).round().long() % DIRECTIONS
    length = torch.hypot(dx, dy)
    planes = torch.stack([length * (place == direction) for direction in range(DIRECTIONS)], 1)
    return F.avg_pool2d(planes, CELL_SIZE).permute(0, 2, 3, 1)


def stretch_statistics(sounds: Tensor, frames: int) -> Tensor:
    """Describe every stretch of log-mel maps by the mean of each band and its change from first to last frame.

    Args:
        sounds: float32 [B, 1, bands, T]; the last stretch is filled up with the last frame.
        frames: of a stretch.

    Returns:
        float32 [B, T / frames, 2 * bands].
    """
    left = -sounds.shape[3] % frames
    parts = F.pad(sounds[:, 0], (0, left), mode="replicate").unflatten(2, (-1, frames))
    return torch.cat([parts.mean(3), parts[..., -1] - parts[..., 0]], 1).transpose(1, 2)
