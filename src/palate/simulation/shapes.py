"""Silhouettes and surface patterns as functions of the plane, over arrays of coordinates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def _polygon(x: Plane, y: Plane, sides: int, dent: float = 1.0) -> Plane:
    """Below 0 inside a regular polygon (``dent`` 1) or a star (``dent`` < 1) of circumradius 1."""
    angle, radius = np.arctan2(y, x) + np.pi / 2, np.hypot(x, y)
    sector = 2 * np.pi / sides
    if dent == 1:
        # Angle from the middle of the nearest side.
        side = np.abs(angle % sector - sector / 2)
        return np.asarray(radius * np.cos(side) - np.cos(sector / 2))
    # Angle from the nearest tip; an arm's edge runs from the tip (1, 0) to the dent on the bisector.
    arm = np.abs((angle + sector / 2) % sector - sector / 2)
    low = dent * np.array([np.cos(sector / 2), np.sin(sector / 2)])
    across = np.array([low[1], 1.0 - low[0]])
    across /= np.hypot(*across)
    return np.asarray((radius * np.cos(arm) - 1.0) * across[0] + radius * np.sin(arm) * across[1])


def _cross(x: Plane, y: Plane) -> Plane:
    wide, long = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    return np.asarray(np.maximum(wide - 0.95, long - 0.34))


SHAPES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "round": lambda x, y: np.asarray(np.hypot(x, y) - 0.85),
    "square": lambda x, y: np.asarray(np.maximum(np.abs(x), np.abs(y)) - 0.76),
    "triangular": lambda x, y: _polygon(x, y, 3),
    "star": lambda x, y: _polygon(x, y, 5, 0.42),
    "hexagonal": lambda x, y: _polygon(x, y, 6),
    "cross": _cross,
}

# Each pattern maps the object's own coordinates and a phase to a mask in [0, 1] of its second tone.
PATTERNS: dict[str, Callable[[Plane, Plane, float], Plane]] = {
    "plain": lambda x, y, phase: np.zeros_like(x),
    "stripes": lambda x, y, phase: _soft(np.sin(11 * x + phase)),
    "checks": lambda x, y, phase: _soft(np.sin(7.5 * x + phase) * np.sin(7.5 * y + phase)),
    "dots": lambda x, y, phase: _soft(np.cos(9 * x + phase) + np.cos(9 * y + phase) - 0.9),
    "rings": lambda x, y, phase: _soft(np.sin(12 * np.hypot(x, y) + phase)),
    "zigzag": lambda x, y, phase: _soft(np.sin(11 * (x + 0.35 * np.abs((1.6 * y + phase) % 2 - 1)))),
}


def _soft(wave: Plane) -> Plane:
    return np.asarray(np.clip(wave * 2.5 + 0.5, 0, 1))
