"""Decode pictures: untrusted bytes to an upright RGB image."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from palate.core.errors import FeatureError
from palate.features.media.source import LIMITS, Limits, expect, load_bytes, named, reason_of

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
WORKING_SIDE = 4096
"""Larger pictures are shrunk by a whole factor while they are read, to bound the memory of further steps."""

# errors of Pillow's parsers on hostile bytes; any other is a bug and must surface
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, RuntimeError,
    AttributeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112


def open_image(source: bytes | str | Path, *, near: int | None = None, limits: Limits = LIMITS) -> Image.Image:
    """Decode one picture to RGB: first frame, turned upright by EXIF, transparency over white.

    The format is found by content (JPEG, PNG, WEBP, GIF, BMP), the size is checked from the header before any pixel
    is unpacked, colour profiles are ignored. Pictures with a side above ``WORKING_SIDE`` come back shrunk.

    Args:
        source: bytes, or a path that is already resolved (see :func:`media_resolver`).
        near: a shorter side that is enough; JPEG is then decoded at a half, quarter or eighth where that suffices.
        limits: beyond which a file is refused.

    Raises:
        FeatureError: with the reason and, for paths, the file.
    """
    data = load_bytes(source, limits.image_bytes)
    kind = expect(data, FORMATS, source, "picture")
    try:
        image, turn = _unpacked(data, kind, near, limits, source)
        rgb = _to_rgb(image)
    except FeatureError:
        raise
    except _BROKEN as error:
        raise FeatureError(f"a damaged {kind} picture ({reason_of(error)})", file=named(source)) from error
    return rgb if turn is None else rgb.transpose(turn)


def _unpacked(
    data: bytes, kind: str, near: int | None, limits: Limits, source: object
) -> tuple[Image.Image, Image.Transpose | None]:
    """The pixels at no more than the working size, and how to turn them; only here is the picture at full size."""
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        _check_size(image.size, limits.pixels if kind == "JPEG" else limits.whole_pixels, limits.side, source)
        if kind == "JPEG":
            image.draft("RGB", _smaller(image.size, near))
        # before EXIF is read: for PNG that decodes too, and would hide a failure to decode
        image.load()
        return _shrunk(image), _turn(image)


def _check_size(size: tuple[int, int], pixels: int, side: int, source: object) -> None:
    width, height = size
    if min(size) < 1:
        raise FeatureError(f"a picture of {width} x {height} pixels", file=named(source))
    if max(size) > side:
        raise FeatureError(f"{width} x {height} pixels, a side above {side:,}", file=named(source))
    if width * height > pixels:
        raise FeatureError(f"{width} x {height} pixels, more than {pixels:,} in all", file=named(source))


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except _BROKEN:
        # damaged EXIF data do not make the pixels unusable
        return None


def _smaller(size: tuple[int, int], near: int | None) -> tuple[int, int]:
    """Size at which JPEG may be decoded: within ``WORKING_SIDE``, and no larger than ``near`` needs."""
    factor = max(-(-max(size) // WORKING_SIDE), 1 if near is None else min(size) // near)
    return max(1, size[0] // max(1, factor)), max(1, size[1] // max(1, factor))


def _shrunk(image: Image.Image) -> Image.Image:
    factor = -(-max(image.size) // WORKING_SIDE)
    if factor < 2:
        return image
    if image.mode in ("1", "P", "PA"):
        # palette numbers cannot be averaged; nearest neighbour bounds memory before colours are looked up
        size = (max(1, image.width // factor), max(1, image.height // factor))
        return image.resize(size, Image.Resampling.NEAREST)
    if image.mode.startswith("I;16"):
        return image.resize((max(1, image.width // factor), max(1, image.height // factor)), Image.Resampling.NEAREST)
    # in strips: pictures with transparency are averaged through a copy
    shrunk = Image.new(image.mode, (-(-image.width // factor), -(-image.height // factor)))
    rows = 128 * factor
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows)))
        shrunk.paste(strip.reduce(factor), (0, top // factor))
    shrunk.info = image.info
    return shrunk


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float32)
        if not np.isfinite(deep).all():
            raise ValueError("non-finite pixels")
        # Pillow gives 16-bit grey in its raw range; 257 maps 65535 to 255
        grey = np.clip(np.rint(deep / 257.0), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()
