"""The shape in which a catalogue's images are shown: the one closest to their own median, so that few are cut."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from palate.core.errors import PalateError
from palate.features.media import open_image
from palate.serving.images import item_image
from palate.serving.snapshot import ModelSnapshot

SAMPLE, SIDE = 48, 32
"""Images that are looked at, and the size in pixels at which they are."""
SHAPES = {"2-3": 2 / 3, "3-4": 3 / 4, "1-1": 1.0, "4-3": 4 / 3, "3-2": 3 / 2}
"""Name of a shape in the style sheet -> width / height."""
_SHAPES: WeakKeyDictionary[ModelSnapshot, str] = WeakKeyDictionary()


def image_shape(snapshot: ModelSnapshot) -> str:
    """Name of the shape closest to the median of a sample of images; found once for each snapshot.

    Args:
        snapshot: the catalogue.
    """
    if snapshot not in _SHAPES:
        _SHAPES[snapshot] = _median_shape(snapshot)
    return _SHAPES[snapshot]


def _median_shape(snapshot: ModelSnapshot) -> str:
    ratios = []
    for row in np.linspace(0, len(snapshot) - 1, min(SAMPLE, len(snapshot))).astype(int).tolist():
        source = item_image(snapshot, row)
        try:
            if source is not None:
                image = open_image(source, near=SIDE)
                ratios.append(image.width / image.height)
        except (PalateError, OSError):
            continue
    median = float(np.median(ratios)) if ratios else 1.0
    return min(SHAPES, key=lambda name: abs(np.log(SHAPES[name] / median)))
