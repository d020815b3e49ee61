"""Pictures after a checkpoint's own preprocessing: the inputs of its network."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from palate.core.content import Kind
from palate.core.encoder import Raw, encoders
from palate.features.encoders.hf_preprocessor import HfPreprocessor
from palate.features.hub import load_pretrained
from palate.features.media import open_image
from palate.features.media.source import VERSION, media_source


@encoders.register("hf_pixels")
class HfImageProcessor(HfPreprocessor):
    """float32 [3, H, W], resized, cropped and scaled as the checkpoint was trained; PIL only.

    Args:
        source: folder of a checkpoint; its weights are not read.
    """

    name, modality = "hf_pixels", "image"
    kind: Kind = "map"
    files = ("preprocessor_config.json", "processor_config.json", "config.json")

    @property
    def settings(self) -> dict[str, Any]:
        return {"preprocessing": self.files_digest, "decoding": VERSION}

    @property
    def dim(self) -> int:
        return 3

    def read(self, raw: Raw) -> NDArray[np.float32]:
        pixels: NDArray[np.float32] = self.pixels([open_image(media_source(raw, "an image"))])[0]
        return pixels

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        return np.stack(contents)

    def pixels(self, pictures: list[Image.Image]) -> NDArray[np.float32]:
        """float32 [n, 3, H, W]."""
        return np.asarray(self._processor(images=pictures, return_tensors="np")["pixel_values"], np.float32)

    @cached_property
    def _processor(self) -> Any:
        return load_pretrained("AutoImageProcessor", self.folder, backend="pil")
