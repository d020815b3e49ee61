"""Decode sound: untrusted bytes to mono samples at one rate."""

from __future__ import annotations

import io
import wave
from importlib.util import find_spec
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import FeatureError, MissingDependencyError
from palate.features.media.source import LIMITS, Limits, expect, load_bytes, named, reason_of

FORMATS = ("WAV", "FLAC", "OGG", "MP3")
_RATES = (1_000, 768_000)
_CHANNELS = 64
CANCELLED = 0.01
"""Share of the power of the loudest channel below which the mean of all channels counts as cancelled out."""


def read_audio(
    source: bytes | str | Path, rate: int, *, seconds: float | None = None, limits: Limits = LIMITS
) -> NDArray[np.float32]:
    """Decode one sound file to mono float32 [samples] in about [-1, 1] at ``rate`` Hz.

    WAV, FLAC, OGG and MP3 by content, through soundfile; PCM WAV needs only the standard library. Channels are
    averaged; where they cancel each other out, the loudest one is taken.

    Args:
        source: bytes, or a path that is already resolved.
        rate: samples a second.
        seconds: read from the start at most, and never more than ``limits.seconds``.
        limits: beyond which a file is refused.

    Raises:
        FeatureError: with the reason and, for paths, the file.
        MissingDependencyError: for compressed formats if soundfile is not installed.
    """
    data = load_bytes(source, limits.audio_bytes)
    kind = expect(data, FORMATS, source, "sound")
    longest = min(limits.seconds, seconds if seconds is not None else limits.seconds)
    if find_spec("soundfile") is not None:
        samples, native = _by_soundfile(data, longest, kind, source)
    elif kind == "WAV":
        samples, native = _by_wave(data, longest, source)
    else:
        raise MissingDependencyError("soundfile", "audio")
    if not len(samples):
        raise FeatureError(f"a {kind} file without samples", file=named(source))
    if not np.isfinite(samples).all():
        raise FeatureError("non-finite samples", file=named(source))
    return _resampled(_mono(samples), native, rate)


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the channels; the loudest channel if the mean has less than a hundredth of its power."""
    mean: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    if samples.shape[1] == 1:
        return mean
    power = np.square(samples, dtype=np.float64).mean(axis=0)
    loudest = int(power.argmax())
    cancelled = np.square(mean, dtype=np.float64).mean() < CANCELLED * power[loudest]
    chosen: NDArray[np.float32] = samples[:, loudest] if cancelled else mean
    return chosen


def _check(native: int, channels: int, source: object) -> None:
    if not _RATES[0] <= native <= _RATES[1]:
        raise FeatureError(f"a sampling rate of {native} Hz", file=named(source))
    if not 1 <= channels <= _CHANNELS:
        raise FeatureError(f"{channels} channels", file=named(source))


def _by_soundfile(data: bytes, seconds: float, kind: str, source: object) -> tuple[NDArray[np.float32], int]:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check(file.samplerate, file.channels, source)
            samples = file.read(int(seconds * file.samplerate), dtype="float32", always_2d=True)
            return samples, int(file.samplerate)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError, MemoryError) as error:
        raise FeatureError(f"a damaged {kind} file ({reason_of(error)})", file=named(source)) from error


def _by_wave(data: bytes, seconds: float, source: object) -> tuple[NDArray[np.float32], int]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            native, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            _check(native, channels, source)
            raw = file.readframes(min(file.getnframes(), int(seconds * native)))
    except (wave.Error, EOFError, ValueError, OverflowError) as error:
        hint = "pip install 'palate[audio]' reads more kinds of WAV"
        raise FeatureError(f"a damaged WAV file ({error})", file=named(source), hint=hint) from error
    raw = raw[: len(raw) - len(raw) % (width * channels)]
    return _from_pcm(raw, width).reshape(-1, channels), native


def _from_pcm(raw: bytes, width: int) -> NDArray[np.float32]:
    if width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    if width == 2:
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(2**15)
    if width == 3:
        triples = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        padded = np.zeros((len(triples), 4), np.uint8)
        padded[:, 1:] = triples
        return (padded.reshape(-1).view("<i4") / 2**31).astype(np.float32)
    return (np.frombuffer(raw, "<i4") / 2**31).astype(np.float32)


def _resampled(mono: NDArray[np.float32], native: int, rate: int) -> NDArray[np.float32]:
    if native == rate:
        return mono
    if find_spec("soxr") is not None:
        import soxr

        return np.asarray(soxr.resample(mono, native, rate, quality="HQ"), np.float32)
    from scipy.signal import resample_poly

    common = gcd(native, rate)
    return np.asarray(resample_poly(mono, rate // common, native // common), np.float32)
