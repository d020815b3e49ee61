"""Questions such as "like this, but red", and answers to them."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palate.core.encoder import Encoder

Floats = NDArray[np.float64]
SHOWN, LEAST, PER_PAIR = 10, 5, 3
HUES = (
    (0.04, "red"),
    (0.11, "orange"),
    (0.19, "yellow"),
    (0.46, "green"),
    (0.72, "blue"),
    (0.83, "purple"),
    (0.95, "pink"),
    (1.01, "red"),
)


def colour_of(file: Path) -> str:
    """The colour of the middle third of a photo, by hue, saturation and brightness of its median."""
    with Image.open(file) as image:
        picture = image.convert("RGB")
    width, height = picture.size
    middle = picture.crop((width // 3, height // 3, 2 * width // 3, 2 * height // 3))
    red, green, blue = np.median(np.asarray(middle, np.float64).reshape(-1, 3), axis=0) / 255
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.22:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.75 else "grey"
    name = next(name for limit, name in HUES if hue < limit)
    return "brown" if name in ("orange", "yellow", "red") and saturation < 0.6 and value < 0.65 else name


def recoloured(
    vectors: Floats, text: Encoder, kind: NDArray[np.str_], colour: NDArray[np.str_], part: NDArray[np.bool_]
) -> dict[str, float]:
    """Show an item, ask for another colour: what is among the ten nearest, as the server ranks pictures.

    Asked are kinds and colours of which at least ``LEAST`` items are there, up to ``PER_PAIR`` items shown of each.

    Args:
        vectors: of the pictures of all items, in the space of ``text``.
        text: encoder of texts.
        kind: of each item.
        colour: of each item.
        part: items that are shown and searched.

    Returns:
        Shares of ``kind`` and of ``colour`` that are right, of ``both``, that of ``chance``, and ``questions``.
    """
    rows = np.flatnonzero(part)
    pictures = vectors[rows] / np.linalg.norm(vectors[rows], axis=1, keepdims=True)
    kinds, colours = kind[rows], colour[rows]
    names = np.unique(colours)
    words = text.encode([str(name) for name in names]).values.astype(np.float64)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    rng, found = np.random.default_rng(0), []
    for one in np.unique(kinds):
        for word, name in zip(words, names):
            wanted = (kinds == one) & (colours == name)
            shown = np.flatnonzero((kinds == one) & (colours != name))
            if wanted.sum() < LEAST or not len(shown):
                continue
            for item in rng.permutation(shown)[:PER_PAIR]:
                scores = pictures @ (pictures[item] + word)
                scores[item] = -np.inf
                top = np.argsort(-scores)[:SHOWN]
                right = (kinds[top] == one, colours[top] == name)
                most = min(SHOWN, int(wanted.sum())) / SHOWN
                found.append(
                    [right[0].mean(), right[1].mean(), (right[0] & right[1]).mean() / most, wanted.mean() / most]
                )
    means = np.mean(found, axis=0)
    keys = ("kind", "colour", "both", "chance")
    return {**{key: float(value) for key, value in zip(keys, means)}, "questions": len(found)}
