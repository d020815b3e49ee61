"""A log of impressions in which taste decides the clicks, and rankers fitted on it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.contracts import models
from palate.core.content import Features
from palate.data.dataset import Dataset
from palate.models.base import RankingModel
from palate.training.fit import fit

N_USERS, N_ITEMS, TASTES, SHOWN = 24, 20, 4, 4
SMALL = {"dim": 8, "epochs": 3, "batch_size": 32, "lr": 0.01, "heads": 2, "min_count": 1, "widths": (4,)}


@cache
def log(flip_test: bool = False) -> pl.DataFrame:
    """Twelve impressions a user, the last two of which are the test part; ``flip_test`` changes its labels alone."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(N_USERS):
        for number in range(12):
            part = 0 if number < 8 else 1 if number < 10 else 2
            shown = rng.choice(N_ITEMS - 1, SHOWN, replace=False)
            liked = rng.random(SHOWN) < np.where(shown % TASTES == user % TASTES, 0.9, 0.15)
            labels = ~liked if flip_test and part == 2 else liked
            rows += [
                (f"u{user:02d}", f"i{item:02d}", 100 * number + user, int(label), f"{user}-{number}", part, number % 3)
                for item, label in zip(shown, labels)
            ]
    schema = ["user", "item", "time", "label", "impression", "part", "hour"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def shop(flip_test: bool = False, events: pl.DataFrame | None = None) -> Dataset:
    """The last item was never shown, its category is known; another category has one item alone."""
    items = pl.DataFrame(
        {"item": [f"i{row:02d}" for row in range(N_ITEMS)], "genre": [f"g{row % TASTES}" for row in range(N_ITEMS)]}
    )
    users = pl.DataFrame(
        {"user": [f"u{row:02d}" for row in range(N_USERS)], "age": [20 + row for row in range(N_USERS)]}
    )
    return Dataset.from_frames(
        items,
        log(flip_test) if events is None else events,
        users,
        columns={"item": "id", "genre": "attributes"},
        features={"image": pictures()},
        roles={"context": ["hour"]},
        positive={"label": ">=1"},
        name="tiny impressions",
    )


@cache
def pictures() -> Features:
    """Maps [20, 3, 8, 8]: the channel and the place that are bright follow the taste of an item; two are absent."""
    rng = np.random.default_rng(3)
    values = rng.normal(0, 0.2, (N_ITEMS, 3, 8, 8)).astype(np.float32)
    for row in range(N_ITEMS):
        taste = row % TASTES
        values[row, taste % 3, 4 * (taste // 2) :, 4 * (taste % 2) :] += 1
    present = np.ones(N_ITEMS, bool)
    present[[6, 13]] = False
    return Features(values * present[:, None, None, None], present, "map", identity="given:tiny-pictures")


def rankers() -> list[str]:
    """Names of all registered rankers."""
    return [name for name, kind in models.items() if issubclass(kind, RankingModel)]


def make(name: str, **changes: Any) -> RankingModel:
    """An unfitted ranker with small settings."""
    kind = models.get(name)
    known = {key: value for key, value in SMALL.items() if key in kind.Config.model_fields}
    model = kind(**{**known, **changes})
    assert isinstance(model, RankingModel)
    return model


@cache
def fitted(name: str, seed: int = 0, flip_test: bool = False, epochs: int = 3) -> RankingModel:
    """A shared fit; tests must not change it."""
    return fit(make(name, epochs=epochs, patience=epochs), shop(flip_test), seed=seed)


@cache
def run_of(name: str, folder: Path) -> Path:
    """A run folder of the shared fit."""
    return fitted(name).save(folder / name)
