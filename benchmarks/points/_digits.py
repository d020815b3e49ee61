"""Tracks made of recordings of spoken digits, and users who like some digits and one speaker: only sound tells."""

from __future__ import annotations

import io
import wave
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

import palate
from _common import real
from palate.data.dataset import Dataset
from palate.data.splits import SplitSpec, cold_items

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DIGITS, RATE, SECONDS = 10, 8000, 10
TRACKS, PEOPLE, LIKES = 400, 300, 15
TAKES, NEW_TAKES = 50, 10
LEAD, SPEAKER, DIGIT, FAVOURITES, FAME = 0.3, 3.0, 2.0, 3, 1.5
"""Probability that a recording is of the track's lead; increase of a track's log odds by a liked speaker or digit;
liked digits of a user; spread of the increase by fame."""

READERS = {"audio": f"mel?seconds={SECONDS}&bands=24"}


def digits(seed: int, effect: bool, fame: float = 0.0) -> Dataset:
    """Real voices, simulated likes; a fifth of the tracks is new. Without effect, a track sounds like another one.

    A track of 10 seconds is some twenty recordings; three in ten are of its lead speaker and, drawn apart, of its
    lead digit, the rest of random speakers and digits: 3 seconds leave in doubt who leads. Recordings in new tracks
    are in no other.

    Args:
        seed: of the likes, the tracks and the split.
        effect: whether likes depend on the sound.
        fame: spread of what a track's fame, which is inaudible, adds to the log odds of all users.

    Returns:
        The data set.
    """
    rng = np.random.default_rng([seed, 1])
    split = f"item_cold:seed={seed}"
    new = cold_items(SplitSpec.parse(split), TRACKS)[1]
    lead = np.stack([rng.integers(len(SPEAKERS), size=TRACKS), rng.integers(DIGITS, size=TRACKS)], axis=1)
    likes = _likes(lead, fame, rng)
    heard = lead if effect else lead[rng.permutation(TRACKS)]
    items = pl.DataFrame(
        {
            "item": [f"t{i}" for i in range(TRACKS)],
            "speaker": [SPEAKERS[s] for s in heard[:, 0]],
            "digit": heard[:, 1],
            "sound": [_track(*of, fresh, rng) for of, fresh in zip(heard, new)],
        }
    )
    log = pl.DataFrame({"user": [f"u{u}" for u, _ in likes], "item": [f"t{i}" for _, i in likes]})
    return palate.Dataset.from_frames(items, log, columns={"item": "id", "sound": "audio"}, split=split)


def hits(seed: int, effect: bool) -> Dataset:
    """As :func:`digits`, but some tracks are popular, whatever they sound like."""
    return digits(seed, effect, fame=FAME)


def _likes(lead: NDArray[np.int64], fame: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(user, track): for each user the best of all tracks, by taste and chance."""
    speaker = rng.integers(len(SPEAKERS), size=PEOPLE)
    favourites = rng.random((PEOPLE, DIGITS)).argsort(1)[:, :FAVOURITES]
    appeal = SPEAKER * (speaker[:, None] == lead[:, 0])
    appeal = appeal + DIGIT * (favourites[:, :, None] == lead[:, 1]).any(1) + rng.gumbel(size=(PEOPLE, TRACKS))
    if fame:
        appeal = appeal + fame * rng.normal(size=TRACKS)
    best = np.argpartition(-appeal, LIKES, axis=1)[:, :LIKES]
    return [(u, int(i)) for u, row in enumerate(best) for i in row]


def _track(speaker: int, digit: int, fresh: bool, rng: np.random.Generator) -> bytes:
    """A WAV file of recordings one after another, cut at its full length."""
    parts: list[NDArray[np.int16]] = []
    takes = (0, NEW_TAKES) if fresh else (NEW_TAKES, TAKES)
    while sum(map(len, parts)) < SECONDS * RATE:
        voice = speaker if rng.random() < LEAD else int(rng.integers(len(SPEAKERS)))
        word = digit if rng.random() < LEAD else int(rng.integers(DIGITS))
        parts.append(_recording(word, voice, int(rng.integers(*takes))))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(parts)[: SECONDS * RATE].tobytes())
    return out.getvalue()


@cache
def _recording(digit: int, speaker: int, take: int) -> NDArray[np.int16]:
    with wave.open(str(real("spoken-digits") / "recordings" / f"{digit}_{SPEAKERS[speaker]}_{take}.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
