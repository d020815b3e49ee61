"""Statistics of log-mel bands of sound: no fitting, no download."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.base import MediaEncoder
from palate.features.media import read_audio
from palate.features.media.source import media_source

RATE = 16_000
WINDOW, HOP, _FFT = 400, 160, 512
_BLOCK = 2048
_FLOOR = 1e-8


@encoders.register("logmel")
class LogMel(MediaEncoder):
    """Mean, deviation, mean absolute change and deviation of change over time of each log-mel band.

    16 kHz mono, 25 ms Hann windows every 10 ms, ``bands`` triangular mel filters up to 8 kHz, in units of 20 dB.

    Args:
        bands: mel bands.
        seconds: read from the start at most.

    Raises:
        ConfigError: for bands or seconds out of range.
    """

    name, modality, version = "logmel", "audio", 1

    def __init__(self, bands: int = 64, seconds: float = 30.0) -> None:
        if not 4 <= bands <= 128 or not seconds > 0:
            raise ConfigError(f"logmel needs 4 to 128 bands and seconds above 0, got {bands} and {seconds}")
        self.options: dict[str, Any] = {"bands": bands, "seconds": seconds}

    @property
    def dim(self) -> int:
        return 4 * int(self.options["bands"])

    def read(self, raw: Raw) -> NDArray[np.float32]:
        samples = read_audio(media_source(raw, "audio"), RATE, seconds=self.options["seconds"])
        mel = log_mel(samples, int(self.options["bands"]))
        change = np.diff(mel, axis=0) if len(mel) > 1 else np.zeros_like(mel)
        return np.concatenate([mel.mean(0) + 2, mel.std(0), np.abs(change).mean(0), change.std(0)]).astype(np.float32)


def log_mel(samples: NDArray[np.float32], bands: int) -> NDArray[np.float64]:
    """Log-mel power of a sound.

    Args:
        samples: float32 [n] at 16 kHz.
        bands: mel bands.

    Returns:
        float64 [frames, bands], log10; silence is -8, and a full-scale tone about 3.
    """
    padded = np.concatenate([samples, np.zeros(max(0, WINDOW - len(samples)), np.float32)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.hanning(WINDOW + 1)[:-1]
    filters = mel_filters(bands)
    out = np.empty((len(frames), bands))
    for start in range(0, len(frames), _BLOCK):
        power = np.abs(np.fft.rfft(frames[start : start + _BLOCK] * window, _FFT)) ** 2
        out[start : start + _BLOCK] = np.log10(np.maximum(power @ filters, _FLOOR))
    return out


@cache
def mel_filters(bands: int) -> NDArray[np.float64]:
    """Triangular filters [257, bands] on the mel scale ``2595 log10(1 + f / 700)``, each of unit peak."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    freq = np.linspace(0, RATE / 2, _FFT // 2 + 1)[:, None]
    up = (freq - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - freq) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(up, down))
