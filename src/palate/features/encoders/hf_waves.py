"""Sounds after a checkpoint's own preprocessing: the inputs of its network."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Kind
from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.hf_preprocessor import HfPreprocessor
from palate.features.hub import load_pretrained
from palate.features.media import read_audio
from palate.features.media.source import VERSION, media_source
from palate.modules.checkpoint import receptive_field


@encoders.register("hf_waves")
class HfFeatureExtractor(HfPreprocessor):
    """CLAP: log-mel maps float32 [C, frames, bands]. Others: samples float32 [N + 1], the last one their number.

    Args:
        source: folder of a checkpoint; its weights are not read.
        seconds: read from the start at most; CLAP never reads beyond its own window, where the library would draw a
            random one. Every sound takes the space of the longest.

    Raises:
        ConfigError: for ``seconds`` of 0 or less.
        FeatureError: if there is no such folder, or its configuration cannot be read.
    """

    name, modality = "hf_waves", "audio"
    files = ("preprocessor_config.json", "processor_config.json", "config.json")

    def __init__(self, source: str, seconds: float = 20.0) -> None:
        if not seconds > 0:
            raise ConfigError(f"above 0, not {seconds}", key="seconds")
        super().__init__(source)
        self.options |= {"seconds": seconds}
        self.config = load_pretrained("AutoConfig", self.folder)
        self.mel = self.config.model_type.startswith("clap")
        self.kind: Kind = "map" if self.mel else "pooled"

    @property
    def settings(self) -> dict[str, Any]:
        return {"preprocessing": self.files_digest, "seconds": self.options["seconds"], "decoding": VERSION}

    @property
    def dim(self) -> int:
        return (4 if self._fusion else 1) if self.mel else self._max_samples + 1

    def read(self, raw: Raw) -> NDArray[np.float32]:
        rate, seconds = self._rate, self.options["seconds"]
        if self.mel:
            seconds = min(seconds, self._extractor.nb_max_samples / rate)
        samples = read_audio(media_source(raw, "audio"), rate, seconds=seconds)[: int(seconds * rate)]
        if self.mel:
            options = {} if self._fusion else {"truncation": "rand_trunc"}
            inputs = self._extractor(samples, sampling_rate=rate, return_tensors="np", **options)["input_features"]
        else:
            samples = np.pad(samples, (0, max(0, self._min_samples - len(samples))))
            inputs = self._extractor(samples, sampling_rate=rate, return_tensors="np")["input_values"]
        return np.asarray(inputs[0], np.float32)

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        if self.mel:
            return np.stack(contents)
        out = np.zeros((len(contents), self.dim), np.float32)
        for row, samples in enumerate(contents):
            out[row, : len(samples)], out[row, -1] = samples, len(samples)
        return out

    @property
    def _rate(self) -> int:
        return int(self._extractor.sampling_rate)

    @property
    def _min_samples(self) -> int:
        return receptive_field(self.config.conv_kernel, self.config.conv_stride)

    @property
    def _max_samples(self) -> int:
        return max(int(self.options["seconds"] * self._rate), self._min_samples)

    @property
    def _fusion(self) -> bool:
        return bool(getattr(self.config, "audio_config", self.config).enable_fusion)

    @cached_property
    def _extractor(self) -> Any:
        return load_pretrained("AutoFeatureExtractor", self.folder)
