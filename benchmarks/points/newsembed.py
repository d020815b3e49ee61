"""NewsEmbed: mined triplets, hard negatives and topics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from _kinship import kinship
from _points import Point, cold_recall, shop
from palate.data.dataset import Dataset

WHOLE = "newsembed:dim=64;layers=1;batch_size=128;neighbours=3;epochs=20;lr=0.002"
READERS = {"text": "pieces?size=2000&length=40"}
LABELLED = 0.1


def sparse(seed: int, effect: bool) -> Dataset:
    """The simulated shop, in which one item in ten has attributes."""
    data = shop(seed, effect)
    labelled = pl.Series(np.random.default_rng([seed, 1]).random(data.n_items) < LABELLED)
    columns = [pl.when(labelled).then(pl.col(name)).alias(name) for name in data.items.columns("attributes")]
    return replace(data, items=replace(data.items, frame=data.items.frame.with_columns(columns)))


POINTS = [
    Point(
        system="newsembed",
        claim="Where few items have topics, texts that people put together, drawn near each other, lead to new items.",
        data=sparse,
        whole=WHOLE,
        ablation=f"{WHOLE};contrast=0",
        judge=cold_recall("text"),
        supervision="weak",
        readers=READERS,
    ),
    Point(
        system="newsembed",
        claim="Negatives that share topics with the anchor teach more than random ones.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};hard=1",
        judge=cold_recall("text"),
        supervision="weak",
        readers=READERS,
    ),
    Point(
        system="newsembed",
        claim="Topic labels bring new items of one category together.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};topics=0",
        judge=kinship("text", "subcategory"),
        supervision="weak",
        readers=READERS,
    ),
]
