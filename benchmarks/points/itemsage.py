"""ItemSage's ablation table: features, negatives, surfaces, kinds of engagement.

As in the paper, the measure is the share of pairs of a query and the product taken for it in which the product is among
the ten nearest to the query. Products are new ones, each the vector of all its modalities, and features are frozen. A
row is evaluated on the tasks that it is about: the surface "closeup" has the products taken next and bought together
with the one looked at, the surface "search" those taken after typed words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

import palate
from _asked import questions, recommended, searching
from _common import WORK
from _points import Judge, Point, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.features.encoders.tower import Tower
from palate.features.store import FeatureStore
from palate.models.pretrain.itemsage import ItemSage
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.simulation.world import World

ITEMS, USERS = 800, 1200
BEST = 10
READERS = {"text": "hash?dim=1024", "image": "image_stats", "audio": "logmel?bands=32&seconds=1"}
SIZES = "itemsage:epochs=24;lr=0.002;dim=64;modality_dropout=0.5;batch_size=512;random=256"


def engaged(seed: int, effect: bool) -> Dataset:
    """A shop in which users search. Without effect, taste ignores content, and queries are shuffled."""
    world = World.make(
        "shop", seed=200 + seed, n_items=ITEMS, n_users=USERS, no_effect=not effect, image_size=64, searches=0.3,
    )  # fmt: skip
    folder = WORK / "worlds" / f"engaged-{world.config.seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    data = palate.load(folder, split=f"item_cold:seed={seed}")
    if effect or data.searches is None:
        return data
    shuffled = np.random.default_rng(seed).permutation(data.searches.query)
    return replace(data, searches=replace(data.searches, query=shuffled))


def products(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset) -> NDArray[np.float32]:
    """Vectors [n_items, width] of all modalities of the items; NaN for items without content."""
    assert isinstance(model, ItemSage)
    store = FeatureStore(WORK / "store")
    readers = {m: encoder.of for m, encoder in encoders.items() if isinstance(encoder, Tower)}
    features = {m: store.encode(reader, data.items.raw(m), root=data.items.root) for m, reader in readers.items()}
    model.cpu().eval().views.set_inputs(ItemInputs(features))
    rows = np.flatnonzero(model.views.presence.numpy().any(1))
    out = np.full((data.n_items, model.config.width), np.nan, np.float32)
    out[rows] = model.encode_all(rows).numpy()
    return out


def next_pairs(data: Dataset) -> NDArray[np.int64]:
    """(item, new item that its user took next) [n, 2]; queries are seen items."""
    log = data.interactions.frame.group_by("user", "item").agg(pl.col("time").min()).sort("user", "time", "item")
    users, items = log["user"].to_numpy(), log["item"].to_numpy()
    return _from_seen_to_new(np.stack([items[:-1], items[1:]], axis=1)[users[1:] == users[:-1]], data)


def bought_together_pairs(data: Dataset) -> NDArray[np.int64]:
    """(item, new item that was bought with it) [n, 2]; queries are seen items."""
    edges = data.relations.edges["bought_together"]
    return _from_seen_to_new(np.stack([edges.source, edges.target], axis=1), data)


def _from_seen_to_new(pairs: NDArray[np.int64], data: Dataset) -> NDArray[np.int64]:
    new = np.isin(pairs, unseen(data))
    return pairs[~new[:, 0] & new[:, 1]]


def hits(task: str) -> Judge:
    """1 for a pair whose product is among the ten new ones nearest to its query, else 0."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        vectors, new = products(model, encoders, data), unseen(data)
        if task == "search":
            words, place = questions(data)
            queries = encoders["text"].encode(words).values
        else:
            pairs = (next_pairs if task == "next" else bought_together_pairs)(data)
            queries, place = vectors[pairs[:, 0]], np.searchsorted(new, pairs[:, 1])
        scores = np.nan_to_num(queries @ vectors[new].T, nan=-2)
        own = np.take_along_axis(scores, place[:, None], 1)
        return ((scores >= own).sum(1) <= BEST).astype(np.float64)

    return judge


NEXT, BOUGHT, SEARCH = hits("next"), hits("bought_together"), hits("search")
ON = {NEXT: "closeup, taken next", BOUGHT: "closeup, bought together", SEARCH: "search, taken"}
ROWS = (
    ("Features: all beat pictures alone", "modalities=[image]", (NEXT, BOUGHT, SEARCH)),
    ("Features: all beat words alone", "modalities=[text]", (NEXT, BOUGHT, SEARCH)),
    ("Negatives: two softmaxes beat the batch's alone", "softmaxes=batch", (NEXT, BOUGHT, SEARCH)),
    ("Negatives: two softmaxes beat random ones alone", "softmaxes=random", (NEXT, BOUGHT, SEARCH)),
    ("Negatives: two softmaxes beat one over the union", "softmaxes=mixed", (NEXT, BOUGHT, SEARCH)),
    ("Surfaces: learning search beside it, closeup is served better", "tasks=[next,bought_together]", (NEXT, BOUGHT)),
    ("Surfaces: learning search finds what is searched", "tasks=[next,bought_together]", (SEARCH,)),
    ("Surfaces: learning closeup finds what is taken next", "tasks=[search]", (NEXT, BOUGHT)),
    ("Engagement: learning purchases beside them, what is clicked is found as well", "tasks=[next,search]", (NEXT,)),
    ("Engagement: learning purchases finds what is bought", "tasks=[next,search]", (BOUGHT,)),
    ("Engagement: learning clicks finds what is clicked", "tasks=[bought_together]", (NEXT, SEARCH)),
    ("Engagement: with clicks, purchases are found better", "tasks=[bought_together]", (BOUGHT,)),
)
ALONE = (
    ("Surfaces: learning search alone, what is searched is found better than with closeup", "tasks=[search]"),
    ("Engagement: learning clicks alone, what is searched is found better than with purchases", "tasks=[next,search]"),
)
"""Rows in which the part is above the whole in the paper's own table."""
LISTS = "Features: pictures and sounds beside words recommend new items better (people's lists)"


def point(claim: str, whole: str, ablation: str, judge: Judge) -> Point:
    """Point measured on products, or on users' recommendations if the judge is not one of products."""
    data = engaged if judge in ON else searching
    text = f"{claim} ({ON[judge]})" if judge in ON else claim
    return Point("itemsage", text, data, whole, ablation, judge, supervision="full", readers=READERS)


POINTS = [
    *(point(claim, SIZES, f"{SIZES};{without}", judge) for claim, without, judges in ROWS for judge in judges),
    *(point(claim, f"{SIZES};{part}", SIZES, SEARCH) for claim, part in ALONE),
    point(LISTS, SIZES, f"{SIZES};modalities=[text]", recommended),
]
