"""A tiny shop as frames: two kinds of items told apart by words, price and colour, some without a picture."""

import io
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from palate.data.dataset import Dataset
from palate.features.plan import plan_content

HOSTILE = '<x-a onclick=alert(1)></x-a><x-b src="http://evil.example/x.png">'


def png(red: int, blue: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 6, 3), (red, 0, blue), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_shop(n_items: int = 20, n_users: int = 24, split: str = "leave_one_out", hostile: bool = False) -> Dataset:
    """Even items are red lamps, odd ones blue chairs; users take five of one kind and one of the other."""
    words = ["lamp bright red", "chair soft blue"]
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(n_items)],
            "title": [HOSTILE if hostile else f"{words[row % 2]} v{row} ok" for row in range(n_items)],
            "brand": [("Lumo", "Sedo")[row % 2] for row in range(n_items)],
            "image": [
                None if row % 7 == 6 else png(200 * (1 - row % 2) + row, 200 * (row % 2)) for row in range(n_items)
            ],
        }
    )
    rng = np.random.default_rng(4)
    rows: list[tuple[Any, ...]] = []
    for user in range(n_users):
        own = rng.choice(np.arange(user % 2, n_items, 2), 5, replace=False)
        taken = [int(rng.choice(np.arange(1 - user % 2, n_items, 2))), *map(int, own)]
        name = HOSTILE if hostile and user == 0 else f"u{user}"
        rows += [(name, f"i{item}", 1_600_000_000 + user + 60 * at) for at, item in enumerate(taken)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return Dataset.from_frames(items, log, split=split, name=HOSTILE if hostile else "frames")


def light_content(data: Dataset):
    """Encoders that need no weights, in memory."""
    return plan_content(data, {"text": "tfidf", "image": "image_stats"})
