"""How much of a picture has which colour, by the eleven basic words for colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palate.core.encoder import Raw, encoders
from palate.features.encoders.base import MediaEncoder
from palate.features.media import open_image
from palate.features.media.source import media_source

Floats = NDArray[np.float64]

SIDE = 32
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 20), (38, 40, 48)),
    "grey": ((90, 90, 92), (130, 130, 130), (170, 170, 172)),
    "white": ((250, 250, 250), (225, 224, 222)),
    "red": ((220, 30, 40), (160, 25, 35), (115, 20, 30)),
    "orange": ((240, 130, 30), (215, 95, 30)),
    "yellow": ((250, 225, 60), (225, 185, 40), (245, 235, 140)),
    "green": ((40, 160, 60), (30, 95, 50), (130, 200, 90), (95, 110, 60)),
    "blue": ((40, 90, 215), (30, 45, 110), (110, 170, 225), (70, 100, 140), (60, 200, 210)),
    "purple": ((125, 50, 170), (80, 40, 95), (165, 125, 200)),
    "pink": ((245, 130, 180), (250, 195, 210), (220, 60, 140)),
    "brown": ((110, 70, 40), (70, 45, 30), (170, 125, 80), (205, 175, 140)),
}
"""Colour -> examples in sRGB, chosen by hand; the eleven words are those of Berlin and Kay (1969)."""
NEAR = 9.0
"""Distances in CIELAB within which two colours are hard to name differently."""
OTHER = 18.0
"""Distance in CIELAB from the colour of the border at which a pixel counts as part of an object."""


@encoders.register("colour_names")
class ColourNames(MediaEncoder):
    """Shares of the eleven basic colours in a picture, the middle and what differs from the border counting most."""

    name, modality, version = "colour_names", "image", 1

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    @property
    def dim(self) -> int:
        return len(COLOURS)

    def read(self, raw: Raw) -> NDArray[np.float32]:
        picture = open_image(media_source(raw, "an image"), near=2 * SIDE)
        small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
        return colour_shares(np.asarray(small))


def colour_shares(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares of colours, in the order of ``COLOURS``.

    Args:
        pixels: uint8 [S, S, 3].

    Returns:
        float32 [11] with sum 1.
    """
    lab = _lab(pixels.reshape(-1, 3))
    side = np.linspace(-1, 1, len(pixels))
    away = side[:, None] ** 2 + side[None] ** 2
    edge = np.maximum(*np.abs(np.meshgrid(side, side))).ravel() > 0.9
    difference = np.linalg.norm(lab - np.median(lab[edge], axis=0), axis=1)
    # the constant keeps a picture of one colour from having none
    weight = np.exp(-2 * away.ravel()) * (0.05 + 1 - np.exp(-((difference / OTHER) ** 2)))
    squared = (lab**2).sum(1, keepdims=True) - 2 * lab @ _EXAMPLES.T + (_EXAMPLES**2).sum(1)
    distance = np.sqrt(np.maximum(squared, 0))
    nearness = np.exp(-(distance - distance.min(1, keepdims=True)) / NEAR)
    by_colour = np.maximum.reduceat(nearness, _STARTS, axis=1)
    shares: Floats = weight @ (by_colour / by_colour.sum(1, keepdims=True)) / weight.sum()
    return shares.astype(np.float32)


def _lab(rgb: NDArray[np.generic]) -> Floats:
    """CIELAB (D65) of sRGB colours [n, 3] in 0 to 255."""
    level = np.asarray(rgb, np.float64) / 255
    linear = np.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_EXAMPLES = _lab(np.array([one for examples in COLOURS.values() for one in examples]))
_STARTS = np.cumsum([0, *(len(examples) for examples in COLOURS.values())][:-1])
