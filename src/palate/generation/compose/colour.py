"""Colours: Lab and back, contrast by WCAG, and the palette of a picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Rgb = tuple[int, int, int]

MIN_CONTRAST = 4.5
"""Contrast of text by WCAG 2, level AA."""
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(1)
SIDE, COLOURS, ROUNDS = 40, 6, 8
"""Side of the picture whose colours are grouped, in pixels; number of groups; rounds of k-means."""


def linear(rgb: Floats) -> Floats:
    """Linear light of sRGB values.

    Args:
        rgb: float64 [..., 3], 0 to 255.
    """
    scaled = np.asarray(rgb, np.float64) / 255
    return np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)


def luminance(rgb: Floats) -> Floats:
    """Relative luminance by WCAG.

    Args:
        rgb: float64 [..., 3], 0 to 255.
    """
    return np.asarray(linear(rgb) @ np.array([0.2126, 0.7152, 0.0722]))


def pixel_contrast(pixels: NDArray[np.uint8], colour: Rgb) -> float:
    """Contrast of a colour with the pixels behind it, where it is least.

    Args:
        pixels: uint8 [h, w, 3].
        colour: the colour.
    """
    light = _LIGHT[0][pixels[..., 0]] + _LIGHT[1][pixels[..., 1]] + _LIGHT[2][pixels[..., 2]]
    own = float(luminance(np.array(colour, np.float64)))
    return float(((np.maximum(light, own) + 0.05) / (np.minimum(light, own) + 0.05)).min())


def contrast(one: Floats | Rgb, other: Floats | Rgb) -> Floats:
    """Contrast ratio by WCAG, 1 to 21.

    Args:
        one: [..., 3], 0 to 255.
        other: the same, or one colour.
    """
    a, b = luminance(np.asarray(one, np.float64)), luminance(np.asarray(other, np.float64))
    return np.asarray((np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05))


def to_lab(rgb: Floats) -> Floats:
    """CIE Lab (D65) of sRGB values.

    Args:
        rgb: [..., 3], 0 to 255.
    """
    scaled = linear(rgb) @ _TO_XYZ.T / _WHITE
    root = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def to_rgb(lab: Floats) -> Rgb:
    """The nearest sRGB colour to one Lab colour.

    Args:
        lab: [3].
    """
    y = (lab[0] + 16) / 116
    root = np.array([y + lab[1] / 500, y, y - lab[2] / 200])
    xyz = np.where(root**3 > 216 / 24389, root**3, (116 * root - 16) * 27 / 24389) * _WHITE
    light = np.clip(np.linalg.solve(_TO_XYZ, xyz), 0, 1)
    scaled = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    red, green, blue = np.clip(np.rint(255 * scaled), 0, 255).astype(int).tolist()
    return red, green, blue


_LIGHT = (linear(np.arange(256.0))[:, None] * np.array([0.2126, 0.7152, 0.0722])).T.astype(np.float32)
"""Part of the luminance of each value of red, green and blue."""


@lru_cache(maxsize=4096)
def shaded(colour: Rgb, lightness: float, chroma: float = 1.0) -> Rgb:
    """A colour of the same hue.

    Args:
        colour: the colour.
        lightness: L of Lab, 0 to 100.
        chroma: factor of its chroma.
    """
    lab = to_lab(np.array(colour, np.float64))
    return to_rgb(np.array([lightness, lab[1] * chroma, lab[2] * chroma]))


@lru_cache(maxsize=4096)
def readable(colour: Rgb, ground: Rgb, least: float = MIN_CONTRAST) -> Rgb:
    """A colour of the same hue that is readable on a ground: lighter or darker, as little as needed.

    Args:
        colour: the colour that is wanted.
        ground: the colour behind it.
        least: contrast, at least.
    """
    lab = to_lab(np.array(colour, np.float64))
    up = float(luminance(np.array(ground, np.float64))) < 0.18
    for step in range(0, 101, 2):
        lightness = min(lab[0] + step, 100) if up else max(lab[0] - step, 0)
        found = to_rgb(np.array([lightness, *(lab[1:] * (1 - step / 140))]))
        if float(contrast(found, ground)) >= least + 0.1:
            return found
    return (255, 255, 255) if up else (0, 0, 0)


def palette(image: Image.Image) -> list[tuple[Rgb, float]]:
    """Colours of a picture and their shares, the most frequent first: k-means in Lab.

    Args:
        image: RGB.
    """
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).reshape(-1, 3)
    points = to_lab(small)
    centres = points[[len(points) // 2]]
    for _ in range(COLOURS - 1):
        # the farthest point from all centres: as k-means++, without chance
        far = ((points[:, None] - centres) ** 2).sum(-1).min(1)
        centres = np.concatenate([centres, points[[int(far.argmax())]]])
    for _ in range(ROUNDS):
        nearest = ((points[:, None] - centres) ** 2).sum(-1).argmin(1)
        groups = np.eye(COLOURS)[nearest]
        sizes = groups.sum(0)
        centres = np.where(sizes[:, None] > 0, groups.T @ points / np.maximum(sizes, 1)[:, None], centres)
    order = np.argsort(-sizes, kind="stable")
    return [(to_rgb(centres[at]), float(sizes[at] / len(points))) for at in order if sizes[at]]


def chroma(colour: Rgb) -> float:
    """How far a colour is from grey.

    Args:
        colour: the colour.
    """
    return float(np.hypot(*to_lab(np.array(colour, np.float64))[1:]))
