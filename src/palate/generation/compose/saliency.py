"""Where a picture's subject is: spectral residual, edges, distance from the border's colour, and the centre.

Spectral residual after Hou & Zhang, CVPR 2007; the other cues and the mixture are our own. NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palate.generation.compose.colour import Rgb, to_lab, to_rgb

Map = NDArray[np.float64]
SIDE = 64
"""Longest side of the map, in pixels."""
PLAIN_DISTANCE, PLAIN_SHARE = 9.0, 0.9
"""Distance in Lab within which a pixel of the border is of its colour; share of them that makes it plain."""
KEPT = 0.94
"""Share of the mass in each direction that the box of the subject holds."""


@dataclass(frozen=True)
class Subject:
    """Where the subject is.

    Attributes:
        mass: float64 [h, w], sums to 1.
        box: left, top, right, bottom as shares of the picture.
        background: colour of the border where it is plain; None otherwise.
    """

    mass: Map
    box: tuple[float, float, float, float]
    background: Rgb | None

    def within(self, box: tuple[float, float, float, float]) -> float:
        """Share of the mass in a box.

        Args:
            box: left, top, right, bottom as shares of the picture; parts outside of it hold nothing.
        """
        height, width = self.mass.shape
        left, top, right, bottom = np.clip(box, 0, 1)
        columns = _cover(width, float(left), float(right))
        return float(_cover(height, float(top), float(bottom)) @ self.mass @ columns)


def find_subject(image: Image.Image) -> Subject:
    """The map of a picture.

    Args:
        image: RGB.
    """
    factor = SIDE / max(image.size)
    size = max(8, round(image.width * factor)), max(8, round(image.height * factor))
    pixels = to_lab(np.asarray(image.resize(size, Image.Resampling.BOX), np.float64))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    middle = np.median(border, axis=0)
    plain = all(
        float((np.linalg.norm(edge - middle, axis=1) < distance).mean()) >= PLAIN_SHARE
        for edge, distance in ((border, PLAIN_DISTANCE), (_sharp_border(image), 0.6 * PLAIN_DISTANCE))
    )
    distance = np.linalg.norm(pixels - middle, axis=2)
    if plain:
        # the border's colour is the background: what differs from it is the subject
        mass = np.clip(distance - PLAIN_DISTANCE, 0, 40)
        if mass.sum() < 1e-6:
            mass = np.ones_like(mass)
    else:
        light = pixels[..., 0]
        mass = (
            0.4 * _unit(_residual(light)) + 0.3 * _unit(blurred(_edges(light), 2)) + 0.3 * _unit(blurred(distance, 1))
        )
        mass = (mass * _centre(mass.shape)) ** 1.5
    mass = mass / mass.sum()
    return Subject(mass, _box(mass), to_rgb(middle) if plain else None)


def blurred(values: Map, radius: int) -> Map:
    """Mean over squares, twice, which is close to a Gaussian.

    Args:
        values: [h, w].
        radius: half the side of the square, in pixels.
    """
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(values, [(radius + 1, radius) if axis == at else (0, 0) for at in (0, 1)], mode="edge")
            sums = np.cumsum(padded, axis=axis)
            window = 2 * radius + 1
            before, after = [slice(None)] * 2, [slice(None)] * 2
            before[axis], after[axis] = slice(None, -window), slice(window, None)
            values = (sums[tuple(after)] - sums[tuple(before)]) / window
    return values


def _sharp_border(image: Image.Image) -> Map:
    """Pixels of the border as they are: the mean of a texture is plain, the texture is not."""
    step = max(1, max(image.size) // 256)
    pixels = np.asarray(image)
    rows = [pixels[0, ::step], pixels[-1, ::step], pixels[::step, 0], pixels[::step, -1]]
    return to_lab(np.concatenate(rows).astype(np.float64))


def _residual(light: Map) -> Map:
    """What the logarithm of the spectrum has above its local mean, back in the picture."""
    spectrum = np.fft.fft2(light)
    logarithm = np.log(np.abs(spectrum) + 1e-6)
    residual = logarithm - blurred(logarithm, 1)
    return blurred(np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2, 2)


def _edges(light: Map) -> Map:
    down, across = np.gradient(light)
    return np.asarray(np.hypot(down, across))


def _centre(shape: tuple[int, ...]) -> Map:
    y, x = (np.linspace(-1, 1, size) for size in shape)
    return np.asarray(0.35 + 0.65 * np.exp(-(y[:, None] ** 2 + x[None] ** 2) / 0.7))


def _unit(values: Map) -> Map:
    low, high = values.min(), np.quantile(values, 0.99)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9), 0, 1))


def _box(mass: Map) -> tuple[float, float, float, float]:
    spans = []
    for axis in (0, 1):
        sums = np.cumsum(mass.sum(axis))
        size = len(sums)
        cut = (1 - KEPT) / 2
        spans.append((int(np.searchsorted(sums, cut)) / size, (int(np.searchsorted(sums, 1 - cut)) + 1) / size))
    (left, right), (top, bottom) = spans
    return left, top, min(right, 1.0), min(bottom, 1.0)


def _cover(size: int, start: float, end: float) -> Map:
    """Share of each cell of a line that lies between two places."""
    edges = np.arange(size + 1) / size
    return np.asarray(np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None) * size)
