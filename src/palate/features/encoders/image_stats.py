"""Colour, gradient and texture descriptors of pictures: no fitting, no download."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.features.encoders.base import MediaEncoder
from palate.features.encoders.image_descriptors import DIM, SIDE, describe, small
from palate.features.media import open_image
from palate.features.media.source import media_source


@encoders.register("image_stats")
class ImageStats(MediaEncoder):
    """One vector a picture; :func:`palate.features.encoders.image_descriptors.describe` lists its blocks."""

    name, modality, version = "image_stats", "image", 1

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    @property
    def dim(self) -> int:
        return DIM

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return describe(*small(open_image(media_source(raw, "an image"), near=2 * SIDE)))
