"""ItemSage's ablation table: features, negatives, surfaces, kinds of engagement.

Asked as in the paper: of pairs of a query and the product that was taken, how many have it among the ten products that
are nearest to the query? Products are new ones, each the vector of all it shows, and features are frozen. A row is
judged on the tasks that it is about: on the surface "closeup" what was taken next and what was bought together with the
product that was looked at, on the surface "search" what was taken after words.
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
    """A shop in which people search. Without effect, taste ignores content, and queries are dealt at random."""
    world = World.make(
        "shop", seed=200 + seed, n_items=ITEMS, n_users=USERS, no_effect=not effect, image_size=64, searches=0.3,
    )  # fmt: skip
    folder = WORK / "worlds" / f"engaged-{world.config.seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    data = palate.load(folder, split=f"item_cold:seed={seed}")
    if effect or data.searches is None:
        return data
    dealt = np.random.default_rng(seed).permutation(data.searches.query)
    return replace(data, searches=replace(data.searches, query=dealt))


def products(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset) -> NDArray[np.float32]:
    """Vectors [n_items, width] of all that items show; NaN where they show nothing."""
    assert isinstance(model, ItemSage)
    shelf = FeatureStore(WORK / "store")
    readers = {m: encoder.of for m, encoder in encoders.items() if isinstance(encoder, Tower)}
    shown = {m: shelf.encode(reader, data.items.raw(m), root=data.items.root) for m, reader in readers.items()}
    model.cpu().eval().views.set_inputs(ItemInputs(shown))
    rows = np.flatnonzero(model.views.presence.numpy().any(1))
    out = np.full((data.n_items, model.config.width), np.nan, np.float32)
    out[rows] = model.encode_all(rows).numpy()
    return out


def next_taken(data: Dataset) -> NDArray[np.int64]:
    """(item, new item that its user took next) [n, 2]; seen items alone ask."""
    log = data.interactions.frame.group_by("user", "item").agg(pl.col("time").min()).sort("user", "time", "item")
    users, items = log["user"].to_numpy(), log["item"].to_numpy()
    return _asked_by_seen(np.stack([items[:-1], items[1:]], axis=1)[users[1:] == users[:-1]], data)


def bought_together(data: Dataset) -> NDArray[np.int64]:
    """(item, new item that was bought with it) [n, 2]; seen items alone ask."""
    edges = data.relations.edges["bought_together"]
    return _asked_by_seen(np.stack([edges.source, edges.target], axis=1), data)


def _asked_by_seen(pairs: NDArray[np.int64], data: Dataset) -> NDArray[np.int64]:
    new = np.isin(pairs, unseen(data))
    return pairs[~new[:, 0] & new[:, 1]]


def nearest(task: str) -> Judge:
    """Whether the product is among the ten new ones that are nearest to what asked for it: 1 or 0 a pair."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        made, new = products(model, encoders, data), unseen(data)
        if task == "search":
            words, place = questions(data)
            asked = encoders["text"].encode(words).values
        else:
            pairs = (next_taken if task == "next" else bought_together)(data)
            asked, place = made[pairs[:, 0]], np.searchsorted(new, pairs[:, 1])
        scores = np.nan_to_num(asked @ made[new].T, nan=-2)
        own = np.take_along_axis(scores, place[:, None], 1)
        return ((scores >= own).sum(1) <= BEST).astype(np.float64)

    return judge


NEXT, BOUGHT, SEARCH = nearest("next"), nearest("bought_together"), nearest("search")
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
"""Rows in which the paper's own table has the part above the whole."""
BESIDE = "Features: pictures and sounds beside words recommend new items better (people's lists)"


def point(claim: str, whole: str, ablation: str, judge: Judge) -> Point:
    """Asked of products; of people's lists where nothing else is said."""
    data = engaged if judge in ON else searching
    told = f"{claim} ({ON[judge]})" if judge in ON else claim
    return Point("itemsage", told, data, whole, ablation, judge, supervision="full", readers=READERS)


POINTS = [
    *(point(claim, SIZES, f"{SIZES};{without}", judge) for claim, without, judges in ROWS for judge in judges),
    *(point(claim, f"{SIZES};{part}", SIZES, SEARCH) for claim, part in ALONE),
    point(BESIDE, SIZES, f"{SIZES};modalities=[text]", recommended),
]
