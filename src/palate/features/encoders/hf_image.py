"""Pictures by a transformer checkpoint: ``hf:<path or hub id>``."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from palate.core.encoder import Raw, encoders
from palate.features.architectures import IMAGE
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_encoder import HfEncoder
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
    architectures, config_part = IMAGE, "vision_config"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "decoding": VERSION}

    @property
    def preprocessor(self) -> ContentEncoder:
        self.check_trainable()
        return self._processor

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return self._processor.read(raw)

    def pixels(self, pictures: list[Image.Image]) -> NDArray[np.float32]:
        """float32 [n, 3, H, W] as the checkpoint expects them."""
        return self._processor.pixels(pictures)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        out: list[NDArray[np.float32]] = []
        for _, pixels in self.in_batches(contents, np.arange(len(contents))):
            inputs = torch.from_numpy(np.stack(pixels)).to(self.device)
            with torch.inference_mode():
                outputs = self._model(pixel_values=inputs)
            if not self.pooled:
                out += list(outputs.last_hidden_state.float().cpu().numpy())
            elif self.architecture.vector_output is not None:
                out += list(self.normalized(getattr(outputs, self.architecture.vector_output)))
            else:
                out += list(self.normalized(outputs.last_hidden_state[:, 0]))
        return out

    @cached_property
    def _processor(self) -> HfImageProcessor:
        return HfImageProcessor(str(self.folder))
