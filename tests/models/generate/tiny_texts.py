"""A small shop of books: titles stand in the descriptions, names occur nowhere else, and users have tastes."""

from __future__ import annotations

import numpy as np
import polars as pl

import palate
from palate.core.content import Features
from palate.data.dataset import Dataset

NAMES = (
    "Zorvan",
    "Quillix",
    "Brandok",
    "Merothe",
    "Taldune",
    "Vexley",
    "Orrimar",
    "Fennick",
    "Drustan",
    "Kelpine",
    "Halvard",
    "Isolwyn",
)
PLACES = ("harbour", "forest", "castle", "desert")
GENRES = ("mystery", "romance", "history", "comedy")
N_ITEMS, N_USERS = 24, 16
SMALL = {
    "dim": 32,
    "words": 30,
    "layers": 1,
    "dropout": 0.0,
    "batch_size": 16,
    "lr": 5e-3,
    "beam": 1,
    "target_length": 14,
    "history": 4,
}
"""Settings of small Transformers that write."""
NEW = {"item": "new", "title": "Ubbelohde and the castle", "genre": "history", "description": "In this first story."}


def items(n: int = N_ITEMS) -> pl.DataFrame:
    rows = []
    for at in range(n):
        name, place, genre = NAMES[at // 2 % len(NAMES)], PLACES[at % 4], GENRES[at % 4]
        number = "first" if at % 2 else "second"
        rows.append(
            {
                "item": f"b{at:02d}",
                "title": f"{name} and the {place}",
                "description": f"In this {number} story a traveller called {name} comes to the {place} and stays.",
                "genre": genre,
            }
        )
    # odd ones: no text at all, no title
    rows[-1] |= {"title": None, "description": None, "genre": None}
    rows[-2] |= {"description": None}
    return pl.DataFrame(rows)


def events() -> pl.DataFrame:
    rows = []
    table = items()
    for user in range(N_USERS):
        own = np.arange(user % 4, N_ITEMS - 2, 4)
        for time, item in enumerate(np.random.default_rng(user).permutation(own)[:5]):
            title, genre = table["title"][int(item)], GENRES[user % 4]
            rows.append(
                {
                    "user": f"u{user:02d}",
                    "item": f"b{item:02d}",
                    "time": time,
                    "explanation": f"You like {genre}, and {title} has it.",
                    "question": "what is it about" if time % 2 else None,
                }
            )
    return pl.DataFrame(rows)


def images(n: int = N_ITEMS, width: int = 6) -> Features:
    """Vectors that tell the place of a book; every seventh book has no picture."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 0.1, (n, width)).astype(np.float32)
    values[np.arange(n), np.arange(n) % 4] += 1
    present = np.arange(n) % 7 != 6
    return Features(np.where(present[:, None], values, 0).astype(np.float32), present, identity="given:tiny")


def dataset(references: bool = False, pictures: bool = True) -> Dataset:
    """The shop; with ``references``, the log has explanations and questions."""
    log = events() if references else events().drop("explanation", "question")
    return palate.Dataset.from_frames(
        items(),
        log,
        pl.DataFrame(
            {
                "user": [f"u{row:02d}" for row in range(N_USERS)],
                "about": [f"reader of {GENRES[r % 4]}" for r in range(16)],
            }
        ),
        columns={"item": "id", "title": "text", "description": "text", "genre": "category"},
        roles={"user": "user", "item": "item", "time": "time"}
        | ({"context": ["explanation", "question"]} if references else {}),
        features={"image": images()} if pictures else None,
        split="random:test=0.1,valid=0.1",
        name="books",
    )


def rows(table: pl.DataFrame | None = None) -> list[dict]:
    return list((items() if table is None else table).iter_rows(named=True))
