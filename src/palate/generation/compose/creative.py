"""Creatives: banner, card and story, from an item's own picture and words; and its picture cropped clean."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from palate.generation.compose.colour import Rgb, palette, shaded
from palate.generation.compose.layout import Arrangement, Box, Layout, find_layout
from palate.generation.compose.saliency import Subject, find_subject
from palate.generation.compose.theme import Theme, accent_of, category_colour, dark_ground, theme_on
from palate.generation.compose.words import Copy, Line, draw_words, make_readable, set_words, worst_contrast

FORMATS: dict[str, tuple[int, int]] = {
    "banner": (1200, 628), "card": (1080, 1080), "portrait": (1080, 1350), "story": (1080, 1920),
}  # fmt: skip
"""Formats by name, width and height in pixels."""
MIN_SIDE, MAX_SIDE = 120, 2400
QUALITY = 90
LANCZOS, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Creative:
    """A composed picture, with what a check of it reads.

    Attributes:
        image: RGB.
        layout: where picture and words stand; None without words.
        lines: the words that were drawn.
        contrast: of words with the pixels behind them, where it is least.
        missing: names of texts that were not drawn, because no font of the machine has their letters.
    """

    image: Image.Image
    layout: Layout | None = None
    lines: tuple[Line, ...] = ()
    contrast: float = 21.0
    missing: tuple[str, ...] = field(default=())


def to_jpeg(image: Image.Image) -> bytes:
    """JPEG bytes of a picture.

    Args:
        image: RGB.
    """
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def compose(
    picture: Image.Image | None,
    copy: Copy,
    size: tuple[int, int],
    *,
    liked: tuple[Rgb, ...] = (),
    category: str = "",
    only: str | None = None,
) -> Creative:
    """Compose a banner, card or story.

    Args:
        picture: RGB picture of the item; None where there is none.
        copy: what is said.
        size: width and height, in pixels.
        liked: colours of pictures that the user took.
        category: gives the colour where there is no picture.
        only: arrangement to take where it is possible.
    """
    if picture is None or min(picture.size) < 8:
        return _typographic(copy, size, category_colour(category), liked)
    subject, colours = find_subject(picture), palette(picture)
    if subject.background is not None and np.ptp(subject.mass) == 0:
        # a picture of one colour shows nothing
        return _typographic(copy, size, subject.background, liked)
    layout = find_layout(size, picture.size, subject, only)
    accent = accent_of(colours, liked)
    if layout.arrangement == "extend" and subject.background is not None:
        ground = subject.background
        canvas = _extended(picture, layout.picture, size, ground)
    else:
        ground = dark_ground(colours)
        if layout.arrangement == "frame":
            canvas = _backdrop(picture, layout.picture, size, ground)
            return _with_words(canvas, layout, copy, theme_on(ground, accent), picture)
        canvas = _pasted(picture, layout.picture, size)
    return _with_words(canvas, layout, copy, theme_on(ground, accent))


def product_picture(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The item's picture, cropped to its subject; on its own background where that is plain.

    Args:
        picture: RGB.
        size: width and height, in pixels.
    """
    subject = find_subject(picture)
    left, top, right, bottom = subject.box
    if subject.background is not None:
        wide, high = (right - left) * picture.width, (bottom - top) * picture.height
        scale = min(0.76 * size[0] / max(wide, 1), 0.76 * size[1] / max(high, 1))
        x = round(size[0] / 2 - (left + right) / 2 * picture.width * scale)
        y = round(size[1] / 2 - (top + bottom) / 2 * picture.height * scale)
        box = Box(x, y, x + round(picture.width * scale), y + round(picture.height * scale))
        return _extended(picture, box, size, subject.background)
    return _pasted(picture, crop_box(subject, picture.size, size), size)


def crop_box(subject: Subject, picture: tuple[int, int], size: tuple[int, int]) -> Box:
    """Where a picture lies so that it fills a ground and as much of its subject as can be is seen.

    Args:
        subject: where the subject is.
        picture: width and height of the picture.
        size: the same of the ground.
    """
    scale = max(size[0] / picture[0], size[1] / picture[1])
    width, height = max(size[0], round(picture[0] * scale)), max(size[1], round(picture[1] * scale))
    rows, columns = subject.mass.sum(1), subject.mass.sum(0)
    middle = [float((axis * (np.arange(len(axis)) + 0.5)).sum() / len(axis)) for axis in (columns, rows)]
    x = round(min(0, max(size[0] - width, size[0] / 2 - middle[0] * width)))
    y = round(min(0, max(size[1] - height, size[1] / 2 - middle[1] * height)))
    return Box(x, y, x + width, y + height)


def _with_words(
    canvas: Image.Image, layout: Layout, copy: Copy, theme: Theme, framed: Image.Image | None = None
) -> Creative:
    """Words on a ground; a framed picture lies above what makes them readable."""
    unit = min(canvas.size)
    low = layout.arrangement == "bleed" and layout.words.top > canvas.height * 0.3
    lines, missing = set_words(copy, layout.words, theme, unit, low)
    canvas = make_readable(canvas, lines, theme, layout.words)
    if framed is not None:
        box = layout.picture
        scaled = framed.resize((box.width, box.height), LANCZOS, reducing_gap=2.0)
        canvas.paste(scaled, (box.left, box.top), _rounded(scaled.size, round(0.02 * unit)))
    if lines:
        _mark(canvas, lines[0], theme, unit)
    least = worst_contrast(canvas, lines)
    draw_words(canvas, lines)
    return Creative(canvas, layout, tuple(lines), least, tuple(missing))


def _mark(canvas: Image.Image, first: Line, theme: Theme, unit: int) -> None:
    """A short bar of the accent above the first line."""
    high, wide = max(3, round(0.009 * unit)), round(0.09 * unit)
    bottom = first.box.top - round(0.03 * unit)
    if bottom - high < 0:
        return
    left = first.box.right - wide if first.fitted.right_to_left else first.box.left
    ImageDraw.Draw(canvas).rectangle((left, bottom - high, left + wide, bottom), theme.accent)


def _pasted(picture: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """The part of an enlarged or reduced picture that lies on the ground."""
    factor_x, factor_y = picture.width / box.width, picture.height / box.height
    seen = (
        max(0.0, -box.left * factor_x),
        max(0.0, -box.top * factor_y),
        min(float(picture.width), (size[0] - box.left) * factor_x),
        min(float(picture.height), (size[1] - box.top) * factor_y),
    )
    return picture.resize(size, LANCZOS, box=seen, reducing_gap=2.0)


def _extended(picture: Image.Image, box: Box, size: tuple[int, int], ground: Rgb) -> Image.Image:
    """A picture on a ground of its own background, its edges blended in."""
    canvas = Image.new("RGB", size, ground)
    scaled = picture.resize((max(1, box.width), max(1, box.height)), LANCZOS, reducing_gap=2.0)
    edge = max(2, round(0.04 * min(scaled.size)))
    x, y = (np.minimum(np.arange(n), n - 1 - np.arange(n)) / edge for n in scaled.size)
    fade = np.clip(np.minimum(x[None, :], y[:, None]), 0, 1)
    canvas.paste(scaled, (box.left, box.top), Image.fromarray(np.rint(255 * fade).astype(np.uint8)))
    return canvas


def _backdrop(picture: Image.Image, box: Box, size: tuple[int, int], ground: Rgb) -> Image.Image:
    """A picture's own colours, blurred and dark, with the shadow of the framed picture."""
    small = max(2, size[0] // 16), max(2, size[1] // 16)
    blurred = picture.resize(small, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(3))
    dark = Image.blend(blurred, Image.new("RGB", small, ground), 0.72)
    shadow, drop, unit = Image.new("L", (size[0] // 8, size[1] // 8)), round(0.012 * min(size)), min(size)
    edges = (box.left // 8, (box.top + drop) // 8, box.right // 8, (box.bottom + drop) // 8)
    ImageDraw.Draw(shadow).rectangle(edges, 170)
    shadow = shadow.filter(ImageFilter.GaussianBlur(max(1, unit // 260)))
    shaded_ground = dark.resize(shadow.size, BICUBIC)
    shaded_ground.paste((0, 0, 0), (0, 0), shadow)
    return shaded_ground.resize(size, BICUBIC)


def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    mask = Image.new("L", (2 * size[0], 2 * size[1]))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 2 * size[0] - 1, 2 * size[1] - 1), 2 * radius, 255)
    return mask.resize(size, Image.Resampling.BOX)


def _typographic(copy: Copy, size: tuple[int, int], base: Rgb, liked: tuple[Rgb, ...]) -> Creative:
    """Words alone, on a dark ground of a colour with two large circles."""
    ground, unit = shaded(base, 20, 0.7), min(size)
    canvas = Image.new("RGB", size, ground)
    drawing = ImageDraw.Draw(canvas)
    for x, y, r, lightness in ((0.98, 0.06, 0.62, 25), (1.02, 1.0, 0.4, 30)):
        middle = x * size[0], y * size[1]
        drawing.ellipse(
            (middle[0] - r * unit, middle[1] - r * unit, middle[0] + r * unit, middle[1] + r * unit),
            shaded(base, lightness, 0.8),
        )
    pad = round(0.085 * unit)
    words = Box(pad, pad, round(size[0] * (0.72 if size[0] > size[1] else 0.9)), size[1] - pad)
    arrangement: Arrangement = "type"
    layout = Layout(arrangement, Box(0, 0, 0, 0), words, 0.0, 0.0)
    accent = accent_of([(base, 1.0)], liked)
    return _with_words(canvas, layout, copy, theme_on(ground, accent))
