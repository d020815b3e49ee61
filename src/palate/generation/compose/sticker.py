"""Stickers: the subject of a picture cut out, with a white outline and a soft shadow, on nothing."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from palate.generation.compose.colour import to_lab
from palate.generation.compose.creative import product_picture
from palate.generation.compose.saliency import find_subject

SIDE, WORK = 512, 160
"""Side of a sticker, and of the picture in which the subject is told from its ground, in pixels."""
LEAST, MOST = 0.04, 0.88
"""Share of the picture that a subject takes; outside of it the whole picture becomes the sticker."""
COLOURS, ROUNDS = 4, 4
LIKE_GROUND = 9.0
"""Distance in Lab within which a pixel is like the ground."""


class Sticker(NamedTuple):
    """A sticker.

    Attributes:
        image: RGBA.
        cut: whether the subject was cut out; the whole picture with round corners otherwise.
    """

    image: Image.Image
    cut: bool


def make_sticker(picture: Image.Image, side: int = SIDE) -> Sticker:
    """Cut out the subject of a picture.

    Args:
        picture: RGB.
        side: of the result, in pixels.
    """
    mask = subject_mask(picture)
    cut = mask is not None
    if mask is None:
        picture = product_picture(picture, (side, side))
        mask = _round_square(side)
    alpha = Image.fromarray(np.rint(255 * mask).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    box = alpha.point([0] * 128 + [255] * 128).getbbox() or (0, 0, *picture.size)
    outline = max(3, round(0.022 * side))
    room = side - 4 * outline
    width, height = box[2] - box[0], box[3] - box[1]
    scale = room / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    at = (side - size[0]) // 2, (side - size[1]) // 2
    colours = Image.new("RGB", (side, side), "white")
    colours.paste(picture.resize(size, Image.Resampling.LANCZOS, box=box), at)
    shape = Image.new("L", (side, side))
    shape.paste(alpha.resize(size, Image.Resampling.BICUBIC, box=box), at)
    shape = shape.filter(ImageFilter.GaussianBlur(1.2)).point([max(0, min(255, 3 * (v - 86))) for v in range(256)])
    around = _grown(shape, outline)
    sticker = Image.new("RGBA", (side, side))
    shadow = Image.new("L", (side, side))
    shadow.paste(around, (0, outline // 2))
    sticker.putalpha(shadow.filter(ImageFilter.GaussianBlur(outline / 2)).point([v * 90 // 255 for v in range(256)]))
    sticker.alpha_composite(_filled(Image.new("RGB", (side, side), "white"), around))
    sticker.alpha_composite(_filled(colours, shape))
    return Sticker(sticker, cut)


def to_png(image: Image.Image) -> bytes:
    """PNG bytes of a picture.

    Args:
        image: of any mode that PNG has.
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def subject_mask(picture: Image.Image) -> NDArray[np.float64] | None:
    """Where the subject is; None where it cannot be told from its ground.

    Pixels are compared with colours of the ground (the border) and of the subject (where the saliency lies), in a few
    rounds; the largest connected region is kept, without holes.

    Args:
        picture: RGB.

    Returns:
        float64 [h, w] in [0, 1], smaller than the picture.
    """
    factor = min(1.0, WORK / max(picture.size))
    size = max(8, round(picture.width * factor)), max(8, round(picture.height * factor))
    pixels = to_lab(np.asarray(picture.resize(size, Image.Resampling.BOX), np.float64))
    found = find_subject(picture)
    mass = np.asarray(Image.fromarray(found.mass.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    prior = np.clip(mass / max(float(np.quantile(mass, 0.97)), 1e-12), 0, 1)
    edge = np.zeros(prior.shape, bool)
    rim = max(1, min(size) // 24)
    edge[:rim], edge[-rim:], edge[:, :rim], edge[:, -rim:] = True, True, True, True
    inside = prior > 0.55
    if inside.sum() < 12:
        return None
    mask = inside.astype(np.float64)
    for step in range(ROUNDS):
        # what the map leaves out may be the inside of a plain subject: the first round knows the border alone
        ground = _distance(pixels, pixels[edge | (mask < 0.15) if step else edge])
        core = (mask > 0.6) & ~edge
        if not core.any():
            return None
        # the map is wider than the subject: what is most like the ground within it is left to the ground
        core = core & (ground > LIKE_GROUND) if (core & (ground > LIKE_GROUND)).any() else core
        likely = 1 / (1 + np.exp((_distance(pixels, pixels[core]) - ground) / 6 - 2.2 * (prior - 0.35)))
        mask = ndimage.gaussian_filter(likely, 1.2)
    labels, count = ndimage.label(mask > 0.5)
    if not count:
        return None
    sums = ndimage.sum_labels(prior, labels, range(1, count + 1))
    region = ndimage.binary_fill_holes(ndimage.binary_opening(labels == 1 + int(np.argmax(sums))))
    share = float(region.mean())
    if not LEAST <= share <= MOST or float(region[edge].mean()) > 0.4:
        return None
    return np.asarray(np.clip(ndimage.gaussian_filter(region.astype(np.float64), 0.8), 0, 1))


def _distance(pixels: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each pixel from the nearest of a few colours of a region."""
    centres = of[np.linspace(0, len(of) - 1, COLOURS).astype(int)]
    for _ in range(4):
        nearest = ((of[:, None] - centres) ** 2).sum(-1).argmin(1)
        groups = np.eye(COLOURS)[nearest]
        sizes = groups.sum(0)[:, None]
        centres = np.where(sizes > 0, groups.T @ of / np.maximum(sizes, 1), centres)
    return np.asarray(np.sqrt(((pixels[..., None, :] - centres) ** 2).sum(-1).min(-1)))


def _grown(shape: Image.Image, by: int) -> Image.Image:
    inside = np.asarray(shape, np.float64) > 127
    distance = ndimage.distance_transform_edt(~inside) if inside.any() else np.full(inside.shape, 1e9)
    return Image.fromarray(np.rint(255 * np.clip(by + 0.5 - distance, 0, 1)).astype(np.uint8))


def _filled(colours: Image.Image, alpha: Image.Image) -> Image.Image:
    layer = colours.convert("RGBA")
    layer.putalpha(alpha)
    return layer


def _round_square(side: int) -> NDArray[np.float64]:
    line = np.abs(np.linspace(-1, 1, min(side, WORK)))
    return np.asarray((line[:, None] ** 8 + line[None, :] ** 8 < 1).astype(np.float64))
