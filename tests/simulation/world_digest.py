"""Digest of a world: whole numbers and texts by hash, real numbers by their mean, so that processors may differ.

``python tests/simulation/world_digest.py`` records those of all presets in ``frozen_worlds.json``. A recorded world
stays as it is: a changed preset is a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.files import digest, write_json
from palate.simulation import World
from palate.simulation.presets import WorldConfig, configure

FILE = Path(__file__).with_name("frozen_worlds.json")
SIZE = dict(n_items=60, n_users=40, image_size=64, audio_seconds=0.25, seed=1)
PRESETS = ("shop", "news@1", "news", "ads")


def small_world(preset: str, **changed: Any) -> World:
    """Make a world of sixty items."""
    return World(configure(preset, SIZE | changed))


def world_digest(world: World) -> dict[str, Any]:
    """Digest of items, users, log, pictures and texts.

    Args:
        world: any; small, since everything is drawn.

    Returns:
        ``exact`` name -> hash, and ``means`` name -> mean of real numbers.
    """
    (users, block), *_ = world.blocks()
    arrays: dict[str, NDArray[Any]] = {}
    for prefix, holder in (("items", world.items), ("users", users)):
        arrays |= _flat(prefix, {f.name: getattr(holder, f.name) for f in fields(holder)})
    for prefix in ("impressions", "interactions", "searches"):
        arrays |= _flat(prefix, getattr(block, prefix))
    exact = {
        name: digest(np.ascontiguousarray(values).astype(np.int64).tobytes())
        for name, values in sorted(arrays.items())
        if values.dtype.kind in "iub"
    }
    means = {
        name: float(np.nanmean(values.astype(np.float64)))
        for name, values in sorted(arrays.items())
        if values.dtype.kind == "f" and np.isfinite(values.astype(np.float64)).any()
    }
    copies = [world.copy(row) for row in range(12)]
    exact["texts"] = digest(*(repr((copy.title, copy.description, copy.tags, copy.facts)) for copy in copies))
    exact["links"] = digest(*(copy.sitelinks or "" for copy in copies))
    if "image" in world.items.present:
        means |= {f"picture {row}": float(np.asarray(world.picture(row), np.float64).mean()) for row in range(6)}
    return {"exact": exact, "means": means}


def frozen_settings(config: WorldConfig) -> tuple[int, str]:
    """Version and hash of the settings and the schema of a preset."""
    schema = config.schema_
    parts = [schema.categories, schema.attributes, dict(schema.visibility), dict(schema.importance)]
    # what later presets brought is counted where it is used, so that the hashes of earlier ones stay
    parts += [part for part in (dict(schema.emphasis), schema.headlines, schema.rivals) if part]
    return config.version, digest(config.hash, *map(repr, parts))


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    flat: dict[str, NDArray[Any]] = {}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            flat[f"{prefix}.{name}"] = value
        elif isinstance(value, Mapping):
            flat |= _flat(f"{prefix}.{name}", value)
    return flat


if __name__ == "__main__":
    write_json(FILE, {preset: world_digest(small_world(preset)) for preset in PRESETS})
