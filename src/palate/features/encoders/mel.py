"""Sound as a log-mel map of fixed length, the input of audio towers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Kind
from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.base import MediaEncoder
from palate.features.encoders.logmel import HOP, RATE, WINDOW, log_mel
from palate.features.media import read_audio
from palate.features.media.source import media_source

SILENCE = -8.0


@encoders.register("mel")
class Mel(MediaEncoder):
    """Log-mel power, float32 [1, bands, frames], shifted and scaled to about [-1, 1]; 100 frames a second.

    Shorter sounds are followed by silence, longer ones are cut.

    Args:
        bands: mel bands.
        seconds: of sound from the start.

    Raises:
        ConfigError: for bands or seconds out of range.
    """

    name, modality, version = "mel", "audio", 1
    kind: Kind = "map"

    def __init__(self, bands: int = 48, seconds: float = 3.0) -> None:
        if not 4 <= bands <= 128 or not 0.1 <= seconds <= 60:
            raise ConfigError(f"mel needs 4 to 128 bands and .1 to 60 seconds, got {bands} and {seconds}")
        self.options: dict[str, Any] = {"bands": bands, "seconds": seconds}

    @property
    def dim(self) -> int:
        return 1

    @property
    def frames(self) -> int:
        """Frames of every map."""
        return 1 + max(0, int(self.options["seconds"] * RATE) - WINDOW) // HOP

    def read(self, raw: Raw) -> NDArray[np.float32]:
        samples = read_audio(media_source(raw, "audio"), RATE, seconds=self.options["seconds"])
        power = log_mel(samples, int(self.options["bands"])).T[:, : self.frames]
        out = np.full((1, len(power), self.frames), SILENCE, np.float32)
        out[0, :, : power.shape[1]] = power
        return (out + np.float32(4)) / np.float32(4)
