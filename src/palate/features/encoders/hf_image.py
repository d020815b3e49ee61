"""Pictures by a transformer checkpoint: ``hf:<path or hub id>``."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from palate.core.encoder import Raw, encoders
from palate.features.encoders._hf import HfEncoder
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_pixels import HfImageProcessor
from palate.features.media.source import VERSION


@encoders.register("hf_image")
class HfImage(HfEncoder):
    """Vision tower of a checkpoint, its own preprocessing on PIL pictures.

    Pooled: CLIP, the projected image embedding; SigLIP, its attention-pooled output; ViT, the last hidden state of the
    class token; DINOv2, the normalised class token. Tokens: all last hidden states, class token first where there is
    one.
    """

    name, modality = "hf_image", "image"
    towers = {
        "clip": "CLIPVisionModelWithProjection",
        "siglip": "SiglipVisionModel",
        "vit": "ViTModel",
        "dinov2": "Dinov2Model",
    }

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "decoding": VERSION}

    @property
    def dim(self) -> int:
        inner = self.sub("vision_config")
        return int(inner["projection_dim"] if self.pooled and self.model_type == "clip" else inner["hidden_size"])

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return self._pixels.read(raw)

    def pixels(self, pictures: list[Image.Image]) -> NDArray[np.float32]:
        """float32 [n, 3, H, W] as the checkpoint wants them."""
        return self._pixels.pixels(pictures)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        out: list[NDArray[np.float32]] = []
        for _, pixels in self.in_batches(contents, np.arange(len(contents))):
            inputs = torch.from_numpy(np.stack(pixels)).to(self.device)
            with torch.inference_mode():
                made = self._model(pixel_values=inputs)
            if not self.pooled:
                out += list(made.last_hidden_state.float().cpu().numpy())
            elif self.model_type == "clip":
                out += list(self.finish(made.image_embeds))
            elif self.model_type == "vit":
                out += list(self.finish(made.last_hidden_state[:, 0]))
            else:
                out += list(self.finish(made.pooler_output))
        return out

    @property
    def reader(self) -> ContentEncoder:
        self.refuse_fixed()
        return self._pixels

    @cached_property
    def _pixels(self) -> HfImageProcessor:
        return HfImageProcessor(str(self.folder))
