"""Pictures: an object with colour, pattern and shape among clutter, in the region typical of its category.

Where the schema says so there are rivals, objects of the same kind in other regions: which object is the item follows
from the category alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.simulation.items import Items
from palate.simulation.presets import WorldConfig
from palate.simulation.shapes import PATTERNS, SHAPES

Pixels = NDArray[np.float32]
# hue in turns; the jitter of a rendered hue stays below half the smallest gap
HUES = {
    "red": 0.0,
    "orange": 0.075,
    "yellow": 0.155,
    "green": 0.33,
    "cyan": 0.49,
    "blue": 0.62,
    "purple": 0.76,
    "pink": 0.9,
}
REGIONS = ((-0.4, -0.38), (0.4, -0.38), (-0.4, 0.38), (0.4, 0.38), (0.0, -0.42), (0.0, 0.42))
"""Centre of the object by category, in [-1, 1] from the left top."""
CELLS = ((-0.64, -0.48), (0.0, -0.48), (0.64, -0.48), (-0.64, 0.48), (0.0, 0.48), (0.64, 0.48))
"""Centre of the object by category among rivals."""
RIVALS = 0.5
"""Probability that another cell has a rival."""


def render(items: Items, row: int, config: WorldConfig, size: int | None = None, view: int = 0) -> Image.Image:
    """Render one picture of an item.

    Args:
        items: all items.
        row: of the item.
        config: settings of the world.
        size: height and width in pixels, ``config.image_size`` if None.
        view: number of the view; each has another background, angle and light.
    """
    size = size or config.image_size
    schema, shown = items.schema, items.shown["image"][row]
    rng = rng_for(config.seed, "picture", row, view)
    leaf = int(items.leaf[items.content[row]])
    canvas = _background(size, rng)
    named = {name: schema.values(name)[shown[schema.column(name)]] for name in schema.visibility["image"]}
    if schema.rivals:
        _scene(canvas, leaf // schema.per_category % len(CELLS), named, leaf % schema.per_category, rng)
        return _developed(canvas, rng)
    for _ in range(int(rng.integers(4, 8))):
        _decoy(canvas, rng)
    region = REGIONS[leaf // schema.per_category % len(REGIONS)]
    centre = (region[0] + rng.uniform(-0.1, 0.1), region[1] + rng.uniform(-0.1, 0.1))
    _object(canvas, centre, rng.uniform(0.42, 0.52), named, leaf % schema.per_category, rng)
    return _developed(canvas, rng)


def render_detail(items: Items, row: int, config: WorldConfig, size: int | None = None) -> Image.Image:
    """Render the close-up of an item: its surface in the colour and pattern that the close-up shows.

    Args:
        items: all items.
        row: of the item.
        config: settings of the world.
        size: height and width in pixels, ``config.image_size`` if None.

    Raises:
        ConfigError: the world has no close-ups.
    """
    schema = items.schema
    if "detail" not in schema.visibility:
        raise ConfigError("this world has no close-ups", key=f"preset {config.preset}", hint="use the preset 'ads'")
    size = size or config.image_size
    rng = rng_for(config.seed, "close-up", row)
    canvas = _background(size, rng)
    shown = items.shown["detail"][row]
    named = {name: schema.values(name)[shown[schema.column(name)]] for name in schema.visibility["detail"]}
    centre = (rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1))
    # the outline is cut off by the frame, so that a close-up does not tell the shape
    _object(canvas, centre, rng.uniform(1.9, 2.2), {"shape": "round"} | named, None, rng)
    return _developed(canvas, rng)


def _scene(canvas: Pixels, place: int, named: dict[str, str], kind: int, rng: np.random.Generator) -> None:
    """Draw the item in its cell, and rivals in about half of the others."""
    for cell, centre in enumerate(CELLS):
        looks = {"colour": tuple(HUES), "pattern": tuple(PATTERNS), "shape": tuple(SHAPES)}
        rival = {name: values[int(rng.integers(len(values)))] for name, values in looks.items()}
        if cell != place and rng.random() >= RIVALS:
            continue
        spot = (centre[0] + rng.uniform(-0.06, 0.06), centre[1] + rng.uniform(-0.06, 0.06))
        radius, other = rng.uniform(0.27, 0.32), int(rng.integers(4))
        _object(canvas, spot, radius, named if cell == place else rival, kind if cell == place else other, rng)


def _developed(canvas: Pixels, rng: np.random.Generator) -> Image.Image:
    canvas += rng.normal(0, 0.02, canvas.shape).astype(np.float32)
    return Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8), "RGB")


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Pixels, Pixels]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
    x, y = np.meshgrid(axis, axis)
    return x, y


def _rgb(hue: float, saturation: float, value: float) -> Pixels:
    channel = (np.array([5.0, 3.0, 1.0]) + hue * 6.0) % 6.0
    return (value - value * saturation * np.clip(np.minimum(channel, 4.0 - channel), 0, 1)).astype(np.float32)


def _background(size: int, rng: np.random.Generator) -> Pixels:
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (0.5 + 0.35 * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    one, two = (_rgb(rng.random(), rng.uniform(0.05, 0.3), rng.uniform(0.35, 0.9)) for _ in range(2))
    coarse = rng.integers(0, 256, (6, 6), dtype=np.uint8)
    cloud = np.asarray(Image.fromarray(coarse, "L").resize((size, size), Image.Resampling.BICUBIC), np.float32)
    return np.asarray(one * (1 - ramp) + two * ramp + 0.18 * (cloud[..., None] / 255 - 0.5), np.float32)


def _window(size: int, centre: tuple[float, float], reach: float) -> tuple[slice, slice]:
    spans = []
    for c in (centre[1], centre[0]):
        low, high = (int(np.floor((c + sign * reach + 1) * size / 2)) for sign in (-1, 1))
        spans.append(slice(max(low, 0), min(max(high + 1, 1), size)))
    return spans[0], spans[1]


def _decoy(canvas: Pixels, rng: np.random.Generator) -> None:
    size = len(canvas)
    centre, radius = (rng.uniform(-0.95, 0.95), rng.uniform(-0.95, 0.95)), rng.uniform(0.08, 0.2)
    shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
    colour = _rgb(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.4, 0.95))
    window = _window(size, centre, radius * 1.1)
    u, v = _local(size, window, centre, radius, rng.uniform(0, 2 * np.pi))
    cover = np.clip(0.5 - SHAPES[shape](u, v) * radius * size / 2, 0, 1)[..., None]
    canvas[window] = canvas[window] * (1 - cover) + colour * cover


def _local(
    size: int, window: tuple[slice, slice], centre: tuple[float, float], radius: float, angle: float
) -> tuple[Pixels, Pixels]:
    x, y = (plane[window] for plane in _grid(size))
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.asarray(cos * dx + sin * dy, np.float32), np.asarray(cos * dy - sin * dx, np.float32)


def _object(
    canvas: Pixels,
    centre: tuple[float, float],
    radius: float,
    named: dict[str, str],
    kind: int | None,
    rng: np.random.Generator,
) -> None:
    size = len(canvas)
    window = _window(size, centre, radius * 1.5)
    tilt = rng.uniform(-0.35, 0.35)
    if kind is not None:
        _fixture(canvas, window, centre, radius, tilt, kind)
    u, v = _local(size, window, centre, radius, rng.uniform(0, 2 * np.pi))
    cover = np.clip(0.5 - SHAPES[named["shape"]](u, v) * radius * size / 2, 0, 1)[..., None]
    hue = HUES[named["colour"]] + rng.uniform(-0.02, 0.02)
    base = _rgb(hue % 1.0, rng.uniform(0.75, 1.0), rng.uniform(0.65, 0.95))
    # the second tone is a lighter or darker tint of the same hue, so that colour and pattern are independent
    second = base * 0.45 if rng.random() < 0.5 else base * 0.4 + 0.6
    stretch, turn = rng.uniform(0.85, 1.2), rng.uniform(0, 2 * np.pi)
    p, q = (np.cos(turn) * u + np.sin(turn) * v) * stretch, (np.cos(turn) * v - np.sin(turn) * u) * stretch
    tone = PATTERNS[named["pattern"]](
        p, q, rng.uniform(0, 2 * np.pi) if named["pattern"] != "rings" else rng.uniform(0, 3)
    )
    surface = base * (1 - tone[..., None]) + second * tone[..., None]
    light = rng.uniform(0, 2 * np.pi)
    shade = 1 + 0.22 * (u * np.cos(light) + v * np.sin(light))
    canvas[window] = canvas[window] * (1 - cover) + surface * shade[..., None].astype(np.float32) * cover


def _fixture(
    canvas: Pixels, window: tuple[slice, slice], centre: tuple[float, float], radius: float, tilt: float, kind: int
) -> None:
    """Draw a grey part that distinguishes leaves: a stem, a loop, two feet or a bar behind the object."""
    u, v = _local(len(canvas), window, centre, radius, tilt)
    part = (
        np.maximum(np.abs(u) - 0.1, np.abs(v - 0.7) - 0.7),
        np.abs(np.hypot(u, v + 1.05) - 0.28) - 0.09,
        np.maximum(np.abs(np.abs(u) - 0.5) - 0.09, np.abs(v - 0.75) - 0.6),
        np.maximum(np.abs(v) - 0.1, np.abs(u) - 1.4),
    )[kind % 4]
    cover = np.clip(0.5 - part * radius * len(canvas) / 2, 0, 1)[..., None]
    canvas[window] = canvas[window] * (1 - cover) + np.float32(0.2) * cover
