"""Colours of a creative: ground, words and accent, from the picture, towards colours that the user took before."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.generation.compose.colour import Rgb, chroma, luminance, readable, shaded, to_lab

HUES: tuple[Rgb, ...] = ((178, 74, 60), (54, 106, 148), (66, 118, 92), (132, 84, 138), (170, 116, 44), (70, 92, 168))
"""Colours of categories that have no picture."""
MIN_SHARE = 0.02


@dataclass(frozen=True)
class Theme:
    """Colours of a creative.

    Attributes:
        ground: behind the words.
        text: of the headline.
        muted: of further words.
        accent: of the tag line and of marks.
    """

    ground: Rgb
    text: Rgb
    muted: Rgb
    accent: Rgb


def theme_on(ground: Rgb, accent: Rgb) -> Theme:
    """A theme on a ground; every colour of words is readable on it.

    Args:
        ground: behind the words.
        accent: colour to set off what is personal.
    """
    dark = float(luminance(np.array(ground, np.float64))) < 0.18
    text = (250, 249, 247) if dark else shaded(ground, 13, 0.6)
    muted = shaded(ground, 82, 0.5) if dark else shaded(ground, 36, 0.7)
    return Theme(ground, readable(text, ground, 7), readable(muted, ground), readable(accent, ground))


def dark_ground(colours: Sequence[tuple[Rgb, float]]) -> Rgb:
    """A dark ground of the picture's own hue.

    Args:
        colours: palette of the picture.
    """
    colour = max(colours, key=lambda one: one[1] * (0.15 + min(chroma(one[0]), 60) / 60))[0]
    return shaded(colour, 15, min(0.7, 26 / max(chroma(colour), 1)))


def accent_of(colours: Sequence[tuple[Rgb, float]], liked: Sequence[Rgb] = ()) -> Rgb:
    """The most colourful colour of a picture, among such the nearest to those that the user took.

    Args:
        colours: palette of the picture.
        liked: colours of pictures of the user's history.
    """
    taste = to_lab(np.array(liked, np.float64)) if liked else None

    def appeal(one: tuple[Rgb, float]) -> float:
        colour, share = one
        near = 0.0
        if taste is not None:
            near = -float(np.linalg.norm(taste - to_lab(np.array(colour, np.float64)), axis=1).min())
        return chroma(colour) + 0.6 * near + 10 * min(share, 0.2)

    candidates = [one for one in colours if one[1] >= MIN_SHARE] or list(colours)
    best = max(candidates, key=appeal)[0]
    return best if chroma(best) > 14 else (214, 160, 74)


def category_colour(name: str) -> Rgb:
    """A colour that depends on a category alone.

    Args:
        name: of the category.
    """
    return HUES[zlib.crc32(name.encode()) % len(HUES)]
