"""Pictures of the simulated shop, each with a caption of its content: the pairs that image-text pretraining expects."""

from __future__ import annotations

import polars as pl

import palate
from _points import labels, shop
from palate.data.dataset import Dataset

READERS = {"image": "pixels?side=32", "text": "pieces?size=500&length=12"}
SHOWN = ("colour", "pattern", "shape")
CAPTION = "a {} object, {}, its outline {}"


def captioned(seed: int, effect: bool) -> Dataset | None:
    """The shop's pictures and captions; a fifth is new. There are no clicks: each picture has one user of its own.

    The shop's own texts share one attribute of seven with its pictures, and not always: too little to distinguish a
    small model from its ablation.
    """
    if not effect:
        return None
    data = shop(seed, True)
    shown = {name: labels(data, name) for name in SHOWN}
    items = data.items.frame.select(
        pl.col("item_id").alias("item"), (str(data.items.root) + "/" + pl.col("image")).alias("picture")
    ).with_columns(
        pl.Series("caption", [CAPTION.format(*words) for words in zip(*shown.values())]),
        *(pl.Series(name, values) for name, values in shown.items()),
    )
    items = items.filter(pl.col("picture").is_not_null())
    log = pl.DataFrame({"user": [f"u{i}" for i in range(len(items))], "item": items["item"]})
    columns = {"item": "id", "picture": "image", "caption": "text"} | dict.fromkeys(SHOWN, "attributes")
    return palate.Dataset.from_frames(items, log, columns=columns, split=f"item_cold:seed={seed}")
