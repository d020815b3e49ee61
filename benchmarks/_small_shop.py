"""A small shop: few customers, popularity with a heavy tail, and taste that follows what the items are."""

from __future__ import annotations

import numpy as np
import polars as pl

import palate
from palate.data.dataset import Dataset

KINDS = ("lamp", "chair", "table", "rug", "vase", "clock", "mirror", "shelf")
COLOURS = ("red", "blue", "green", "black", "white", "oak")
BRANDS = ("Lumo", "Sedo", "Arvid", "Nook", "Tarn", "Brae")


def small_shop(
    seed: int, users: int = 392, items: int = 300, positives: int = 1392, tail: float = 1.2, taste: float = 1.5
) -> Dataset:
    """Draw a shop whose customers take items in proportion to popularity times exp(agreement with their taste).

    Args:
        seed: of the shop and of its random split.
        users: number of customers.
        items: number of items.
        positives: distinct pairs of customer and item.
        tail: exponent of the Pareto distribution of popularity.
        taste: standard deviation over items of a customer's agreement with kind, colour and brand.
    """
    rng = np.random.default_rng(seed)
    vocabularies = (KINDS, COLOURS, BRANDS)
    parts = [rng.integers(0, len(words), items) for words in vocabularies]
    popularity = rng.pareto(tail, items) + 0.05
    liked = [rng.normal(size=(users, len(words)))[:, own] for words, own in zip(vocabularies, parts)]
    chance = popularity * np.exp(taste * sum(liked) / np.sqrt(len(parts)))
    counts = 1 + rng.multinomial(positives - users, rng.dirichlet(np.ones(users)))
    rows = []
    for user, count in enumerate(counts):
        taken = rng.choice(items, count, replace=False, p=chance[user] / chance[user].sum())
        rows += [(f"u{user}", f"i{item}") for item in taken]
    kinds, colours, brands = ([words[place] for place in own] for words, own in zip(vocabularies, parts))
    named = enumerate(zip(colours, kinds, brands))
    goods = pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(items)],
            "title": [f"{colour} {kind} by {brand}, no. {item}" for item, (colour, kind, brand) in named],
            "category": kinds,
            "brand": brands,
            "price": np.round(rng.lognormal(3, 0.6, items), 2),
        }
    )
    log = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    return palate.Dataset.from_frames(goods, log, split=f"random:seed={seed}", name="small-shop")
