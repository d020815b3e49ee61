"""Words of a creative: a tag line, a headline and a line below, set in a box and readable on what lies behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from palate.generation.compose.colour import MIN_CONTRAST, Rgb, pixel_contrast
from palate.generation.compose.fonts import font
from palate.generation.compose.layout import Box
from palate.generation.compose.text_fit import LEADING, Fitted, fit
from palate.generation.compose.theme import Theme


@dataclass(frozen=True)
class Copy:
    """What a creative says.

    Attributes:
        headline: the largest text.
        tag: a short text above it, such as an attribute in the user's taste.
        detail: a text below it.
    """

    headline: str
    tag: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Line:
    """Lines of one text, where they are drawn.

    Attributes:
        text: name of the text in :class:`Copy`.
        fitted: its lines and font.
        box: around them.
        colour: of its letters.
    """

    text: str
    fitted: Fitted
    box: Box
    colour: Rgb


def set_words(copy: Copy, box: Box, theme: Theme, unit: int, low: bool = False) -> tuple[list[Line], list[str]]:
    """Set the words into a box, from its left edge, or its right one for a script that runs from there.

    Args:
        copy: what is said.
        box: where.
        theme: colours.
        unit: shorter side of the ground, in pixels, to which sizes are relative.
        low: whether they stand at the bottom of the box, instead of its middle.

    Returns:
        Their lines, and names of the texts for whose letters there is no font.
    """
    missing, set_texts = list[str](), list[tuple[str, Fitted, Rgb]]()
    narrow = box.width < 0.95 * unit
    small, gap = max(11, round(0.039 * unit)), max(4, round(0.03 * unit))
    tag = fit(copy.tag, "bold", box.width, round(2.4 * small), small, max(9, small // 2), 2) if copy.tag else None
    detail_size = max(12, round((0.045 if narrow else 0.05) * unit))
    detail = None
    if copy.detail:
        detail = fit(copy.detail, "regular", box.width, box.height // 4, detail_size, max(10, detail_size // 2), 3)
    used = sum(one.height + gap for one in (tag, detail) if one is not None) + 2 * gap
    largest = max(16, round(0.135 * unit))
    headline = None
    if copy.headline:
        headline = fit(
            copy.headline, "bold", box.width, max(box.height - used, 20), largest, max(12, round(1.3 * detail_size)), 5
        )
    for name, fitted, colour in (
        ("tag", tag, theme.accent),
        ("headline", headline, theme.text),
        ("detail", detail, theme.muted),
    ):
        if fitted is not None:
            set_texts.append((name, fitted, colour))
        elif getattr(copy, name):
            missing.append(name)
    height = sum(fitted.height for _, fitted, _ in set_texts) + gap * max(0, len(set_texts) - 1)
    top = box.bottom - height if low else box.top + max(0, (box.height - height) // 2)
    lines = []
    for name, fitted, colour in set_texts:
        left = box.right - fitted.width if fitted.right_to_left else box.left
        lines.append(Line(name, fitted, Box(left, top, left + fitted.width, top + fitted.height), colour))
        top += fitted.height + gap
    return lines, missing


def draw_words(canvas: Image.Image, lines: list[Line]) -> None:
    """Draw lines of words.

    Args:
        canvas: RGB, is drawn on.
        lines: of :func:`set_words`.
    """
    drawing = ImageDraw.Draw(canvas)
    for line in lines:
        opened, fitted = font(line.fitted.path, line.fitted.size), line.fitted
        for at, text in enumerate(fitted.lines):
            anchor, x = ("ra", line.box.right) if fitted.right_to_left else ("la", line.box.left)
            y = line.box.top + round(at * fitted.size * LEADING)
            drawing.text((x, y), text, line.colour, opened, anchor=anchor)


def worst_contrast(canvas: Image.Image, lines: list[Line]) -> float:
    """Contrast of words with the pixels behind them, where it is least; of what is not yet drawn on.

    Args:
        canvas: RGB, without the words.
        lines: of :func:`set_words`.
    """
    return min((pixel_contrast(np.asarray(canvas.crop(line.box)), line.colour) for line in lines), default=21.0)


def make_readable(canvas: Image.Image, lines: list[Line], theme: Theme, box: Box) -> Image.Image:
    """A ground on which words are readable: the theme's colour is laid over it, as thin as it can be.

    Args:
        canvas: RGB, without the words.
        lines: of :func:`set_words`.
        theme: colours.
        box: of the words; the cover fades out around it.
    """
    if not lines or worst_contrast(canvas, lines) >= MIN_CONTRAST:
        return canvas
    cover = _fading(canvas.size, box)
    panel = Image.new("RGB", canvas.size, theme.ground)
    for strength in (0.55, 0.7, 0.8, 0.88, 0.94, 1.0):
        levels = [min(255, round(level * strength)) for level in range(256)]
        if all(_covered_contrast(canvas, cover.point(levels), panel, line) >= MIN_CONTRAST for line in lines):
            return Image.composite(panel, canvas, cover.point(levels))
    canvas = canvas.copy()
    canvas.paste(theme.ground, box)
    return canvas


def _covered_contrast(canvas: Image.Image, cover: Image.Image, panel: Image.Image, line: Line) -> float:
    parts = [one.crop(line.box) for one in (panel, canvas, cover)]
    return pixel_contrast(np.asarray(Image.composite(*parts)), line.colour)


def _fading(size: tuple[int, int], box: Box) -> Image.Image:
    """Where the cover is: whole in the box, towards the nearest edges too, and gone at some distance from it."""
    width, height = size
    reach, near = 0.30 * min(size), 0.12 * min(size)
    # smooth, so an eighth of the pixels in each direction is enough
    x, y = (np.linspace(0, side, max(2, side // 8)) for side in size)
    left = 0 if box.left < near else box.left
    right = width if box.right > width - near else box.right
    top = 0 if box.top < near else box.top
    bottom = height if box.bottom > height - near else box.bottom
    across = np.clip(np.maximum(left - x, x - right), 0, None)
    down = np.clip(np.maximum(top - y, y - bottom), 0, None)
    fade = np.clip(1 - np.hypot(across[None, :], down[:, None]) / reach, 0, 1)
    smooth = fade * fade * (3 - 2 * fade)
    small = Image.fromarray(np.rint(255 * smooth).astype(np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)
