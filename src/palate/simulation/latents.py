"""Feature matrices for worlds without media: the shown attribute values, mixed at random, with noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.core.seeding import rng_for
from palate.simulation.items import HIDDEN, Items
from palate.simulation.presets import WorldConfig

ROWS = 65_536
"""Items in a chunk."""


def feature_chunks(items: Items) -> list[tuple[slice, int]]:
    """Slices of rows and their chunk numbers."""
    return [(slice(s, min(s + ROWS, len(items))), n) for n, s in enumerate(range(0, len(items), ROWS))]


def features(items: Items, modality: str, config: WorldConfig, rows: slice, number: int) -> NDArray[np.float16]:
    """Features of a chunk of items: one-hot codes of the shown values through a fixed random map, plus noise.

    Args:
        items: all items.
        modality: its name.
        config: settings of the world.
        rows: the chunk.
        number: of the chunk, for the random stream.

    Returns:
        float16 [rows, feature_dim]; absent rows 0.
    """
    schema = items.schema
    maps = rng_for(config.seed, "map", modality)
    noise = rng_for(config.seed, "feature noise", modality, number)
    shown = items.shown[modality][rows]
    total = np.zeros((len(shown), config.feature_dim), np.float32)
    scale = 1 / np.sqrt(len(schema.visibility[modality]))
    for name in schema.visibility[modality]:
        column = schema.column(name)
        table = maps.standard_normal((len(schema.values(name)) + 1, config.feature_dim)) * scale
        table[-1] = 0
        total += table[np.where(shown[:, column] == HIDDEN, -1, shown[:, column])]
    total += config.feature_noise * noise.standard_normal(total.shape, dtype=np.float32)
    total[~items.present[modality][rows]] = 0
    return total.astype(np.float16)
