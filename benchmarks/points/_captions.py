"""Pictures of the simulated shop, each with a caption of what it shows: pairs as image-text pretraining knows them."""

from __future__ import annotations

import polars as pl

import palate
from _points import labels, shop
from palate.data.dataset import Dataset

READERS = {"image": "pixels?side=32", "text": "pieces?size=500&length=12"}
SHOWN = ("colour", "pattern", "shape")
CAPTION = "a {} object, {}, its outline {}"


def captioned(seed: int, effect: bool) -> Dataset | None:
    """The shop's pictures and captions; a fifth is new. Nobody clicks: one user a picture stands in.

    The shop's own texts share one attribute of seven with its pictures, and that not surely: too little for a small
    stream to be told apart from its ablation.
    """
    if not effect:
        return None
    whole = shop(seed, True)
    told = {name: labels(whole, name) for name in SHOWN}
    items = whole.items.frame.select(
        pl.col("item_id").alias("item"), (str(whole.items.root) + "/" + pl.col("image")).alias("picture")
    ).with_columns(
        pl.Series("caption", [CAPTION.format(*words) for words in zip(*told.values())]),
        *(pl.Series(name, values) for name, values in told.items()),
    )
    items = items.filter(pl.col("picture").is_not_null())
    log = pl.DataFrame({"user": [f"u{i}" for i in range(len(items))], "item": items["item"]})
    columns = {"item": "id", "picture": "image", "caption": "text"} | dict.fromkeys(SHOWN, "attributes")
    return palate.Dataset.from_frames(items, log, columns=columns, split=f"item_cold:seed={seed}")
