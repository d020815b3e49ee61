"""Which of several pictures of an item suits a user: vectors of each beside those of pictures that the user took."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.batch import IntArray
from palate.core.errors import PalateError
from palate.features.media.source import LIMITS
from palate.serving.images import item_image
from palate.serving.snapshot import ModelSnapshot

MAX_PICTURES = 8
"""Pictures of an item that are looked at."""


def further_pictures(snapshot: ModelSnapshot, row: int) -> list[bytes | Path]:
    """Pictures of an item in other image columns than its first one.

    Args:
        snapshot: the catalogue.
        row: row of the item.
    """
    first, found = item_image(snapshot, row), list[bytes | Path]()
    for column in snapshot.items.columns("image"):
        try:
            raw = snapshot.items.raw("image", np.array([row]), [column])[0]
        except PalateError:
            continue
        if isinstance(raw, bytes | Path) and raw != first and raw not in found:
            found.append(raw)
    return found[: MAX_PICTURES - 1]


def picture_options(snapshot: ModelSnapshot, row: int, history: IntArray) -> Mapping[str, Any]:
    """Options of a request for a picture of an item that has several.

    Args:
        snapshot: the catalogue and its vectors.
        row: row of the item.
        history: int64 [n], rows of items that the user took.

    Returns:
        ``pictures``: bytes of the further pictures; with the run's vectors of pictures also ``picture_vectors`` of
        these and, as the last one, of the item's first picture, and ``history_vectors``. Empty for a single picture.
    """
    sources = further_pictures(snapshot, row)
    read = [(source, data) for source in sources if (data := read_bytes(source)) is not None]
    if not read:
        return {}
    options: dict[str, Any] = {"pictures": [data for _, data in read]}
    first = item_image(snapshot, row)
    if first is not None and len(history):
        options |= _vectors(snapshot, [*(source for source, _ in read), first], history)
    return options


def read_bytes(source: bytes | Path | None) -> bytes | None:
    """Bytes of a picture; None for one that cannot be read, or is too large.

    Args:
        source: bytes or file.
    """
    if not isinstance(source, Path):
        return source
    try:
        return source.read_bytes() if source.stat().st_size <= LIMITS.image_bytes else None
    except OSError:
        return None


def _vectors(snapshot: ModelSnapshot, pictures: list[bytes | Path], history: IntArray) -> dict[str, Any]:
    """Vectors of pictures in the run's own space; empty where it has none, so that colours decide."""
    content = snapshot.content
    name = next((name for name, spec in content.main_plan.items() if spec.modality == "image"), None)
    if name is None or name not in content.encoders or content.trained is not None or name not in snapshot.features:
        return {}
    known = history[history < len(snapshot)]
    taken = snapshot.features[name].take(known)
    try:
        # encoded once: the store keeps them
        shown = content.store.encode(content.encoders[name], pictures)
    except (PalateError, OSError):
        return {}
    if shown.lengths is not None or not shown.present.all() or not taken.present.any():
        return {}
    vectors, mine = (
        np.asarray(one, np.float32).reshape(len(one), -1) for one in (shown.values, taken.values[taken.present])
    )
    return {"picture_vectors": vectors, "history_vectors": mine} if vectors.shape[1] == mine.shape[1] else {}
