"""A shop in which people search, and judges who ask what they asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import palate
from _common import WORK
from _points import ITEMS, USERS, Judge, cold_recall, shop, unseen, vectors
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.simulation.shop import WORDS
from palate.simulation.words import QUERIES
from palate.simulation.world import World

SMALL = {"image": "pixels?side=32", "text": "pieces?size=2000&length=40"}
BEST = 10


def catalogue(seed: int, effect: bool) -> Dataset | None:
    """The simulated shop, for what its taste has no part in."""
    return shop(seed, True) if effect else None


def searching(seed: int, effect: bool) -> Dataset:
    """The simulated shop, where three clicks in ten follow a search. Without effect, taste ignores content."""
    world = World.make(
        "shop", seed=200 + seed, n_items=ITEMS, n_users=USERS, no_effect=not effect, image_size=64, searches=0.3
    )
    folder = WORK / "worlds" / f"searching-{world.config.seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    return palate.load(folder, split=f"item_cold:seed={seed}")


def asking(seed: int, effect: bool) -> Dataset:
    """The same. Without effect, queries are dealt at random to those who took something."""
    data = searching(seed, True)
    if effect or data.searches is None:
        return data
    dealt = np.random.default_rng(seed).permutation(data.searches.query)
    return replace(data, searches=replace(data.searches, query=dealt))


def questions(data: Dataset) -> tuple[list[str], NDArray[np.int64]]:
    """What was asked for before a new item was taken, and its place among the new items; every pair once."""
    searches, new = data.searches, unseen(data)
    assert searches is not None
    pairs = np.unique(np.stack([searches.query, searches.items], axis=1)[np.isin(searches.items, new)], axis=0)
    words = searches.queries.raw("text")
    return [str(words[row]) for row in pairs[:, 0]], np.searchsorted(new, pairs[:, 1])


def cosines(words: list[str], modalities: tuple[str, ...], encoders: Mapping[str, Encoder], data: Dataset) -> NDArray:
    """Of queries with new items: the mean over modalities that an item has; below all others where it has none."""
    parts = [vectors(encoders[m], m, data, unseen(data)) for m in modalities]
    total = np.sum([np.where(part.present[:, None], part.values, 0) for part in parts], axis=0)
    there = np.any([part.present for part in parts], axis=0)
    unit = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return np.where(there, encoders["text"].encode(words).values @ unit.T, -2)


def searched(*modalities: str) -> Judge:
    """Reciprocal rank of the new item that was taken after a query, among the new items; all modalities by default."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        words, place = questions(data)
        scores = cosines(words, modalities or tuple(encoders), encoders, data)
        own = np.take_along_axis(scores, place[:, None], 1)
        return 1 / (scores >= own).sum(1).astype(np.float64)

    return judge


def fitting(*modalities: str) -> Judge:
    """Share of the ten best new items that are what the query says, or of as many as there are."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        truth = meant(data)
        words = sorted({asked for asked in questions(data)[0] if asked in truth})
        order = np.argsort(-cosines(words, modalities, encoders, data), axis=1)[:, :BEST]
        hits = [
            len(truth[asked] & set(best.tolist())) / min(BEST, len(truth[asked])) for asked, best in zip(words, order)
        ]
        return np.array(hits)

    return judge


def meant(data: Dataset) -> dict[str, set[int]]:
    """Query -> places of the new items that somebody who types it may mean."""
    assert data.items.root is not None
    items = World.load(data.items.root).items
    schema, found = items.schema, defaultdict[str, set[int]](set)
    for place, row in enumerate(unseen(data)):
        source = int(items.content[row])
        for name in schema.visibility["text"]:
            for word in WORDS[name][schema.values(name)[items.codes[source, schema.column(name)]]]:
                for query in QUERIES:
                    found[query.format(word=word, leaf=schema.leaves[items.leaf[source]])].add(place)
    return dict(found)


def recommended(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
    """Capped recall@20 of a user's new items by all modalities that were learnt."""
    return cold_recall(*encoders)(model, encoders, data, seed)
