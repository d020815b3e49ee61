"""CLAP: sounds with their own texts against sounds with the texts of others."""

from __future__ import annotations

import numpy as np
import polars as pl
from _digits import DIGITS, SPEAKERS, TAKES

import palate
from _common import real
from _points import Point, retrieval
from palate.data.dataset import Dataset

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
USED = 12
"""Recordings of each digit by each speaker."""


def spoken(seed: int, effect: bool) -> Dataset | None:
    """Single recordings of spoken digits, each with a text that names digit and speaker; a fifth is new.

    There are no clicks: each recording has one user of its own.
    """
    if not effect:
        return None
    rng, folder = np.random.default_rng(seed), real("spoken-digits") / "recordings"
    takes = [
        (d, speaker, t) for d in range(DIGITS) for speaker in SPEAKERS for t in rng.choice(TAKES, USED, replace=False)
    ]
    items = pl.DataFrame(
        {
            "item": [f"{digit}_{speaker}_{take}" for digit, speaker, take in takes],
            "sound": [str(folder / f"{digit}_{speaker}_{take}.wav") for digit, speaker, take in takes],
            "words": [f"{NAMES[digit]}, said by {speaker}" for digit, speaker, _ in takes],
        }
    )
    log = pl.DataFrame({"user": [f"u{i}" for i in range(len(takes))], "item": items["item"]})
    columns = {"item": "id", "sound": "audio", "words": "text"}
    return palate.Dataset.from_frames(items, log, columns=columns, split=f"item_cold:seed={seed}")


SIZES = "clap:epochs=30;dim=64;layers=1;lr=0.002;batch_size=128;patience=30"
POINTS = [
    Point(
        system="clap",
        claim="Pairs alone, without a click, make sounds and texts of new items find each other",
        data=spoken,
        whole=SIZES,
        ablation=f"{SIZES};shuffled=true",
        judge=retrieval("audio", "text"),
        supervision="self",
        readers={"text": "pieces?size=2000&length=40", "audio": "mel?bands=32&seconds=1"},
        real=True,
    )
]
