"""Descriptors of one picture: colours, edges and texture by place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

SIDE = 96
_GRID = 4
_BINS = 9
# Mean and standard deviation of the colour moments over natural photographs, rounded by hand: fixed, so that nothing
# is fitted. Order: luminance, red-green, blue-yellow; first their means, then their deviations.
_MOMENT_CENTRE = np.array([0.45, 0.02, 0.03, 0.15, 0.03, 0.05], np.float32)
_MOMENT_SCALE = np.array([0.25, 0.06, 0.10, 0.08, 0.03, 0.04], np.float32)


def small(picture: Image.Image) -> tuple[Floats, float]:
    """A picture at the working size.

    Returns:
        RGB in [0, 1], float32 [96, 96, 3], and the logarithm of width over height.
    """
    ratio = float(np.log(picture.width / picture.height))
    resized = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(resized, np.float32) / np.float32(255), ratio


def describe(rgb: Floats, ratio: float) -> Floats:
    """Describe a picture by a vector float32 [``DIM``], blocks of about unit length each.

    Colour moments (luminance, red-green, blue-yellow) on a 4 x 4 grid; a 4 x 4 x 4 colour histogram (square roots);
    gradient orientations on a 4 x 4 grid, each cell normalised (after Dalal and Triggs 2005); local binary patterns,
    10 rotation-invariant uniform classes (Ojala et al. 2002), of the picture and of its quarters; the aspect ratio.

    Args:
        rgb: of :func:`small`.
        ratio: of :func:`small`.
    """
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    parts = (
        _moments(rgb, grey),
        _histogram(rgb),
        _gradients(grey),
        _patterns(grey),
        np.array([0.25 * np.clip(ratio, -2, 2)], np.float32),
    )
    return _single(np.concatenate(parts))


def _cells(plane: NDArray, grid: int) -> NDArray:
    step = plane.shape[0] // grid
    return plane.reshape(grid, step, grid, step).swapaxes(1, 2).reshape(grid * grid, step * step)


def _moments(rgb: Floats, grey: Floats) -> Floats:
    planes = (grey, rgb[..., 0] - rgb[..., 1], rgb[..., 2] - (rgb[..., 0] + rgb[..., 1]) / 2)
    cells = [_cells(plane, _GRID) for plane in planes]
    moments = np.stack([*(cell.mean(1) for cell in cells), *(cell.std(1) for cell in cells)], 1)
    return _single(((moments - _MOMENT_CENTRE) / _MOMENT_SCALE) / np.sqrt(moments.size))


def _histogram(rgb: Floats) -> Floats:
    level = np.minimum((rgb * 4).astype(np.int64), 3)
    flat = level[..., 0] * 16 + level[..., 1] * 4 + level[..., 2]
    return _single(np.sqrt(np.bincount(flat.ravel(), minlength=64) / flat.size))


def _gradients(grey: Floats) -> Floats:
    down, across = np.gradient(grey)
    size = np.hypot(across, down)
    turn = (np.arctan2(down, across) % np.pi) * (_BINS / np.pi)
    low = turn.astype(np.int64)
    share = turn - low
    cell = np.arange(SIDE) // (SIDE // _GRID)
    base = (cell[:, None] * _GRID + cell[None]) * _BINS
    total = np.zeros(_GRID * _GRID * _BINS)
    for index, weight in ((low % _BINS, size * (1 - share)), ((low + 1) % _BINS, size * share)):
        total += np.bincount((base + index).ravel(), weights=weight.ravel().astype(np.float64), minlength=len(total))
    cells = total.reshape(-1, _BINS)
    # The constant keeps the noise of flat cells from being blown up to full strength.
    return _single(cells / np.sqrt((cells**2).sum(1, keepdims=True) + 4.0) / _GRID)


def _patterns(grey: Floats) -> Floats:
    inner = grey[1:-1, 1:-1]
    ring = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    bits = np.stack([grey[y : y + SIDE - 2, x : x + SIDE - 2] >= inner for y, x in ring])
    changes = (bits != np.roll(bits, 1, axis=0)).sum(0)
    kind = np.where(changes <= 2, bits.sum(0), 9)
    half = kind.shape[0] // 2
    quarters = (kind, kind[:half, :half], kind[:half, half:], kind[half:, :half], kind[half:, half:])
    histograms = [np.sqrt(np.bincount(part.ravel(), minlength=10) / part.size) for part in quarters]
    return _single(np.concatenate(histograms) / np.sqrt(len(histograms)))


def _single(block: NDArray) -> Floats:
    flat: Floats = block.astype(np.float32).ravel()
    return flat


DIM = _GRID**2 * 6 + 64 + _GRID**2 * _BINS + 50 + 1
