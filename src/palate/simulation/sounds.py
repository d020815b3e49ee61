"""Sounds: a short phrase whose tempo, scale, register and timbre express mood, and whose recording expresses era."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.seeding import rng_for
from palate.simulation.items import Items
from palate.simulation.presets import WorldConfig

Signal = NDArray[np.float32]


@dataclass(frozen=True)
class Mood:
    """Musical parameters of a mood.

    Attributes:
        tempo: notes a second.
        register: base pitch in Hz.
        scale: semitones.
        fall: strength of harmonic h is h^-fall.
        attack: seconds.
        decay: number of times that a note's level falls by e in a second.
        tremolo: Hz, 0 for none.
        beat: level of a noise burst on every note.
    """

    tempo: float
    register: float
    scale: tuple[int, ...]
    fall: float
    attack: float
    decay: float
    tremolo: float = 0.0
    beat: float = 0.0


MOODS = {
    "calm": Mood(2.0, 260, (0, 4, 7, 9), 3.0, 0.08, 2.0),
    "cheerful": Mood(6.0, 520, (0, 2, 4, 7, 9), 1.5, 0.01, 7.0),
    "dark": Mood(2.0, 100, (0, 3, 7, 8), 1.0, 0.05, 1.5),
    "tense": Mood(6.0, 240, (0, 1, 6, 7), 0.9, 0.01, 3.0, tremolo=13.0),
    "dreamy": Mood(2.5, 560, (0, 4, 7, 11), 2.5, 0.15, 1.0, tremolo=5.0),
    "energetic": Mood(8.0, 150, (0, 5, 7, 10), 0.8, 0.005, 9.0, beat=0.5),
}
# recording: (low-pass as a share of the band, hiss, clicks a second)
ERAS = {
    "antique": (0.45, 0.02, 18.0),
    "retro": (0.65, 0.06, 0.0),
    "modern": (1.0, 0.002, 0.0),
    "futuristic": (1.0, 0.002, 0.0),
}
HARMONICS = 5


def synthesise(items: Items, row: int, config: WorldConfig, seconds: float | None = None) -> Signal:
    """Synthesise the clip of an item; a longer one has more notes and shows its mood more clearly.

    Args:
        items: all items.
        row: of the item.
        config: settings of the world.
        seconds: length, ``config.audio_seconds`` if None.

    Returns:
        float32 in [-1, 1].
    """
    seconds = seconds or config.audio_seconds
    schema, shown = items.schema, items.shown["audio"][row]
    named = {name: schema.values(name)[shown[schema.column(name)]] for name in schema.visibility["audio"]}
    rng = rng_for(config.seed, "sound", row)
    clip = _phrase(MOODS[named["mood"]], seconds, config.audio_rate, named["era"] == "futuristic", rng)
    return _record(clip, *ERAS[named["era"]], config.audio_rate, rng)


def wav_bytes(clip: Signal, rate: int) -> bytes:
    """Encode a clip as 16-bit mono WAV.

    Args:
        clip: float32 in [-1, 1].
        rate: samples a second.
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(clip, -1, 1) * 32_767).astype("<i2").tobytes())
    return buffer.getvalue()


def _phrase(mood: Mood, seconds: float, rate: int, metallic: bool, rng: np.random.Generator) -> Signal:
    clip = np.zeros(int(seconds * rate), np.float32)
    base = mood.register * 2 ** rng.uniform(-0.25, 0.25)
    step = 1 / (mood.tempo * rng.uniform(0.85, 1.15))
    start = rng.uniform(0, 0.3) * step
    while start < seconds:
        note = clip[int(start * rate) :][: int(min(1.0, 2.5 * step) * rate)]
        time = np.arange(len(note), dtype=np.float32) / rate
        pitch = base * 2 ** (mood.scale[int(rng.integers(len(mood.scale)))] / 12)
        level = np.minimum(time / mood.attack, 1) * np.exp(-mood.decay * time)
        # a futuristic timbre is inharmonic: frequency modulation at an irrational ratio
        wobble = 1.5 * np.sin(2 * np.pi * pitch * 1.414 * time) if metallic else 0.0
        for h in range(1, HARMONICS + 1):
            if h * pitch < rate / 2:
                note += level * np.sin(2 * np.pi * h * pitch * time + wobble) / h**mood.fall
        if mood.beat:
            note += mood.beat * np.exp(-60 * time) * rng.standard_normal(len(time), dtype=np.float32)
        start += step
    if mood.tremolo:
        time = np.arange(len(clip), dtype=np.float32) / rate
        clip *= 0.6 + 0.4 * np.sin(2 * np.pi * mood.tremolo * time + rng.uniform(0, 6.28))
    return np.asarray(clip * (rng.uniform(0.4, 0.8) / max(float(np.abs(clip).max()), 1e-6)), np.float32)


def _record(clip: Signal, band: float, hiss: float, clicks: float, rate: int, rng: np.random.Generator) -> Signal:
    if band < 1:
        spectrum = np.fft.rfft(clip)
        spectrum[int(band * len(spectrum)) :] = 0
        clip = np.fft.irfft(spectrum, len(clip)).astype(np.float32)
    out = clip + hiss * rng.standard_normal(len(clip), dtype=np.float32)
    count = rng.poisson(clicks * len(clip) / rate)
    out[rng.integers(0, len(out), count)] += rng.choice([-0.5, 0.5], count).astype(np.float32)
    return np.asarray(np.clip(out, -1, 1), np.float32)
