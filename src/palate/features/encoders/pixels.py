"""Pictures as small maps of pixels, the inputs of image towers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palate.core.content import Kind
from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.base import MediaEncoder
from palate.features.media import open_image
from palate.features.media.source import media_source


@encoders.register("pixels")
class Pixels(MediaEncoder):
    """RGB in [-1, 1], float32 [3, side, side]; the whole picture is fitted into the square, so nothing is cropped away.

    Args:
        side: pixels.

    Raises:
        ConfigError: for a side out of range.
    """

    name, modality, version = "pixels", "image", 1
    kind: Kind = "map"

    def __init__(self, side: int = 64) -> None:
        if not 8 <= side <= 512:
            raise ConfigError(f"a side of 8 to 512 pixels, not {side}", key="side")
        self.options: dict[str, Any] = {"side": side}

    @property
    def dim(self) -> int:
        return 3

    def read(self, raw: Raw) -> NDArray[np.float32]:
        side = int(self.options["side"])
        image = open_image(media_source(raw, "an image"), near=side)
        small = image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return (np.asarray(small, np.float32).transpose(2, 0, 1) / np.float32(127.5)) - np.float32(1)
