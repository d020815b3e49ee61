"""Sound by a transformer checkpoint: ``hf:<path or hub id>``."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.architectures import AUDIO
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_encoder import HfEncoder, Output
from palate.features.encoders.hf_waves import HfFeatureExtractor
from palate.features.media.source import VERSION


@encoders.register("hf_audio")
class HfAudio(HfEncoder):
    """Audio tower of a checkpoint, at the sampling rate it was made for.

    Pooled: CLAP, the projected audio embedding; wav2vec 2.0, HuBERT and WavLM, the mean of the last hidden states over
    time. Tokens: the last hidden states over time (for CLAP, of its last feature map). Clips of equal length share a
    forward pass, so that nothing is padded and no clip depends on the others.

    Args:
        source: folder or hub id.
        output: ``pooled`` or ``tokens``.
        seconds: read from the start at most; CLAP never reads beyond its own window, where the library would draw a
            random one.
        normalize: scale pooled vectors to unit length.
        batch: clips in one forward pass.
        device: ``auto`` takes CUDA when there is one.
        revision: of a hub id.

    Raises:
        ConfigError: for ``seconds`` of 0 or less.
        FeatureError: if there is no such checkpoint, or its type has no audio tower.
    """

    name, modality = "hf_audio", "audio"
    architectures, config_part = AUDIO, "audio_config"

    def __init__(
        self,
        source: str,
        output: Output = "pooled",
        seconds: float = 20.0,
        normalize: bool = False,
        batch: int = 8,
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        super().__init__(source, output, normalize, batch, device, revision)
        if not seconds > 0:
            raise ConfigError(f"above 0, not {seconds}", key="seconds")
        self.options |= {"seconds": seconds}

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "decoding": VERSION}

    @property
    def preprocessor(self) -> ContentEncoder:
        self.check_trainable()
        return self._extractor

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return self._extractor.read(raw)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        sizes = np.array([content.size for content in contents])
        out: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(contents)
        for size in np.unique(sizes):
            for rows, inputs in self.in_batches(contents, np.flatnonzero(sizes == size)):
                for row, vectors in zip(rows, self._forward(torch.from_numpy(np.stack(inputs))), strict=True):
                    out[row] = vectors
        return out

    def _forward(self, inputs: Tensor) -> list[NDArray[np.float32]]:
        inputs, output = inputs.to(self.device), self.architecture.vector_output
        with torch.inference_mode():
            if output is not None:
                longer = torch.zeros(len(inputs), 1, dtype=torch.bool, device=self.device)
                outputs = self._model(input_features=inputs, is_longer=longer)
                if self.pooled:
                    return list(self.normalized(getattr(outputs, output)))
                states = outputs.last_hidden_state.flatten(2).transpose(1, 2)
            else:
                states = self._model(inputs).last_hidden_state
                if self.pooled:
                    return list(self.normalized(states.mean(1)))
        return list(states.float().cpu().numpy())

    @cached_property
    def _extractor(self) -> HfFeatureExtractor:
        return HfFeatureExtractor(str(self.folder), self.options["seconds"])
