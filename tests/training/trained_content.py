"""A tiny catalogue with texts and given picture vectors, encoders of it that can be trained, and models on it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import torch

from palate.core.content import Features
from palate.core.seeding import seed_torch
from palate.data.dataset import Dataset
from palate.features.encoders.pieces import WordPiece
from palate.features.encoders.tower import Tower, tower_network
from palate.features.plan import ContentPlan, plan_content
from palate.features.saved import save_encoder

N_USERS, N_ITEMS, TASTES = 30, 24, 3
WORDS = ("space robot laser", "kiss letter spring", "heist bank gun")
PLANS = ("partial:1", "full", "lora:2", "adapter:4", "prompt:2")
COLD = "item_cold:seed=1,valid=0.2,test=0.2"


def catalogue(split: str | None = None, seed: int = 0, n_items: int = N_ITEMS) -> Dataset:
    """Users take items of one taste; titles tell it in one word among many, pictures (vectors) faintly."""
    rng = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item": [f"i{row:02d}" for row in range(n_items)],
            "title": [
                None if row == 5 else f"{rng.choice(WORDS[row % TASTES].split())} number {row} of many"
                for row in range(n_items)
            ],
        }
    )
    rows = [
        (f"u{user:02d}", f"i{item:02d}", place)
        for user in range(N_USERS)
        for place, item in enumerate(rng.permutation(np.flatnonzero(np.arange(n_items) % TASTES == user % TASTES))[:6])
    ]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    values = rng.normal(size=(n_items, 5)).astype(np.float32)
    values[np.arange(n_items), np.arange(n_items) % TASTES] += 1
    present = np.arange(n_items) != 7
    picture = Features(np.where(present[:, None], values, 0).astype(np.float32), present, identity="given:tiny")
    return Dataset.from_frames(
        items, log, columns={"item": "id", "title": "text"}, features={"image": picture}, split=split, name="tiny"
    )


def tower(layers: int = 2, seed: int = 0, **more: int) -> Tower:
    """A text tower with random weights over pieces of the catalogue's titles."""
    pieces = WordPiece(size=60, length=8).fit(catalogue().items.raw("text"))
    assert pieces.vocabulary is not None
    network = {
        "kind": "text",
        "vocabulary": len(pieces.vocabulary),
        "dim": 8,
        "layers": layers,
        "heads": 2,
        "length": 8,
    }
    seed_torch(seed, "tower")
    made = Tower(pieces, {**network, **more}, 6)
    return made.load_weights(tower_network(network, 6).state_dict(), "tiny")


@cache
def encoder_folder(root: Path) -> str:
    """:func:`tower`, saved."""
    folder = root / "tower"
    save_encoder(folder, tower())
    return str(folder)


def content(data: Dataset, folder: str) -> ContentPlan:
    """Texts through the saved tower, pictures as given."""
    return plan_content(data, {"text": folder})


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().numpy().tobytes()
