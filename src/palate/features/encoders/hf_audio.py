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
from palate.features.encoders._hf import HfEncoder, Output
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_waves import HfFeatureExtractor
from palate.features.media.source import VERSION


@encoders.register("hf_audio")
class HfAudio(HfEncoder):
    """Audio tower of a checkpoint, at the sampling rate it was made for.

    Pooled: CLAP, the projected audio embedding; wav2vec 2.0, HuBERT and WavLM, the mean of the last hidden states over
    time. Tokens: the last hidden states over time (for CLAP, of its last feature map). Clips of equal length share a
    forward pass, so that nothing is padded and no clip depends on its neighbours.

    Args:
        seconds: read from the start at most; CLAP never reads beyond its own window, where the library would draw a
            random one.
    """

    name, modality = "hf_audio", "audio"
    towers = {
        "clap": "ClapAudioModelWithProjection",
        "wav2vec2": "Wav2Vec2Model",
        "hubert": "HubertModel",
        "wavlm": "WavLMModel",
    }

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
    def dim(self) -> int:
        inner = self.sub("audio_config")
        return int(inner["projection_dim"] if self.pooled and self.model_type == "clap" else inner["hidden_size"])

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return self._waves.read(raw)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        sizes = np.array([content.size for content in contents])
        out: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(contents)
        for size in np.unique(sizes):
            for rows, inputs in self.in_batches(contents, np.flatnonzero(sizes == size)):
                for row, made in zip(rows, self._forward(torch.from_numpy(np.stack(inputs))), strict=True):
                    out[row] = made
        return out

    def _forward(self, inputs: Tensor) -> list[NDArray[np.float32]]:
        inputs = inputs.to(self.device)
        with torch.inference_mode():
            if self.model_type == "clap":
                longer = torch.zeros(len(inputs), 1, dtype=torch.bool, device=self.device)
                made = self._model(input_features=inputs, is_longer=longer)
                if self.pooled:
                    return list(self.finish(made.audio_embeds))
                states = made.last_hidden_state.flatten(2).transpose(1, 2)
            else:
                states = self._model(inputs).last_hidden_state
                if self.pooled:
                    return list(self.finish(states.mean(1)))
        return list(states.float().cpu().numpy())

    @property
    def reader(self) -> ContentEncoder:
        self.refuse_fixed()
        return self._waves

    @cached_property
    def _waves(self) -> HfFeatureExtractor:
        return HfFeatureExtractor(str(self.folder), self.options["seconds"])
