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
    """Single recordings of spoken digits, and in words what is said by whom; a fifth is new. Nobody listens: one user a
    recording stands in."""
    if not effect:
        return None
    rng, folder = np.random.default_rng(seed), real("spoken-digits") / "recordings"
    takes = [(d, who, t) for d in range(DIGITS) for who in SPEAKERS for t in rng.choice(TAKES, USED, replace=False)]
    items = pl.DataFrame(
        {
            "item": [f"{digit}_{who}_{take}" for digit, who, take in takes],
            "sound": [str(folder / f"{digit}_{who}_{take}.wav") for digit, who, take in takes],
            "words": [f"{NAMES[digit]}, said by {who}" for digit, who, _ in takes],
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
