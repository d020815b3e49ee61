"""A montage of rendered items, for documents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from palate.simulation.world import World


def gallery(world: World, n: int = 24, size: int = 96, columns: int = 8) -> Image.Image:
    """Draw the first items of a world in a grid on white.

    Args:
        world: the world.
        n: number of items.
        size: height and width of each picture in pixels.
        columns: of the grid.
    """
    n = min(n, len(world.items))
    columns = max(1, min(columns, n))
    gap = max(2, size // 24)
    rows = math.ceil(n / columns)
    sheet = Image.new("RGB", (columns * (size + gap) + gap, rows * (size + gap) + gap), "white")
    for row in range(n):
        down, across = divmod(row, columns)
        sheet.paste(world.picture(row, size), (gap + across * (size + gap), gap + down * (size + gap)))
    return sheet
