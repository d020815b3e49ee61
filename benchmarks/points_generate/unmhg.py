"""UNMHG: pictures in the input against text alone; and the token that picks the picture against chance."""

from functools import cache

import numpy as np
import polars as pl

import palate
from _common import real
from _generator_points import (
    Point,
    cases,
    column,
    example,
    judge_of,
    request,
    tells_colour,
    tells_name,
    wide,
    wide_shop,
)  # fmt: skip
from palate.contracts import GenerationRequest
from palate.core.cache import vectors_folder
from palate.core.seeding import rng_for
from palate.features.plan import find_encoder
from palate.features.store import FeatureStore

SIZE = (
    "target=picture_headline;words=300;dim=64;layers=1;epochs=6;batch_size=48;beam=2;target_length=8;"
    "body_length=40;lr=0.005"
)
FILMS = "words=3000;dim=64;layers=1;epochs=4;batch_size=48;beam=1;target_length=8;body_length=50;lr=0.002"
CHOICES = 4
judge = judge_of("headline", "picture_headline", {"colour": tells_colour, "name": tells_name}, wide_shop)
"""The colour that only the picture shows, in headlines."""


def among(own, others, rng):
    """Ids of an item and of three others, in random order."""
    chosen = [own, *rng.choice([one for one in others if one != own], CHOICES - 1, replace=False)]
    return [str(chosen[at]) for at in rng.permutation(CHOICES)]


def picked(model, requests):
    """Whether the index token names the picture of the item itself."""
    covers = model.generate(requests)
    shown = [next((one.id for one in cover.evidence if one.column == "image"), None) for cover in covers]
    return {"right picture": column([one == next(iter(r.item.values())) for one, r in zip(shown, requests)])}


def things(seed):
    """Covers of the cases, each with four pictures to choose from."""
    world, rng = wide_shop(seed), rng_for(seed, "candidates")
    new = [f"i{row}" for row in range(len(world.known), world.n_items)]
    asked = [request(world, case, "cover") for case in cases(seed, world)]
    return [covered(one.item, one.history, among(one.item["item"], new, rng)) for one in asked]


def covered(item, history, candidates):
    """A request for a cover; pictures are known by their ids."""
    return GenerationRequest("cover", item, history, images={one: one.encode() for one in candidates})


def films(seed):
    """Films with poster and plot, title to be found; nobody watches: one user a film stands in. A fifth is held out."""
    items, posters = film_table()
    held = set(held_out(items, seed))
    log = [(f"u{at}", one) for at, one in enumerate(items["item"]) if one not in held]
    return palate.Dataset.from_frames(
        items,
        pl.DataFrame(log, ["user", "item"], orient="row"),
        columns={"item": "id", "title": "text", "plot": "text"},
        features={"image": posters},
        split="random:test=0.05,valid=0.05",
        name="films",
    )


@cache
def film_table():
    """Item, title and plot of the films that have a poster, too; and the vectors of the posters."""
    data = palate.load(real("movies"))
    store = FeatureStore(vectors_folder(real("movies")))
    posters = store.encode(find_encoder("efficientnet_lite0", "image"), data.items.raw("image"))
    told = data.items.frame["Plot"].is_not_null().to_numpy() & data.items.frame["title"].is_not_null().to_numpy()
    rows = np.flatnonzero(told & posters.present)
    names = data.items.ids.ids.cast(pl.String)
    table = pl.DataFrame({"item": names, "title": data.items.frame["title"], "plot": data.items.frame["Plot"]})
    return table[rows.tolist()], posters.take(rows)


def held_out(items, seed):
    """Ids of the films that are not learnt from."""
    return rng_for(seed, "held out").permutation(items["item"].to_numpy())[: len(items) // 5].tolist()


def film_covers(seed):
    """Covers of held-out films, each with four held-out posters to choose from."""
    (items, _), rng = film_table(), rng_for(seed, "candidates")
    held = held_out(items, seed)
    rows = {row["item"]: row for row in items.iter_rows(named=True)}
    asked = rng.choice(held, 200, replace=False)
    return [covered(rows[str(one)], (), among(str(one), held, rng)) for one in asked]


def by_chance(requests):
    """An index drawn at random."""

    def judge(seed):
        found, rng = requests(seed), rng_for(seed, "chance")
        drawn = [list(one.images)[rng.integers(CHOICES)] for one in found]
        return {"right picture": column([a == next(iter(r.item.values())) for a, r in zip(drawn, found)])}

    return judge


def cover_example(requests):
    """The first cover: what was asked and which picture was chosen."""

    def show(model, seed):
        one = requests(seed)[0]
        made = model.generate([one])[0]
        chosen = next((found.id for found in made.evidence if found.column == "image"), None)
        return {"item": {"item": one.item["item"]}, "candidates": list(one.images), "made": chosen}

    return show


POINTS = [
    Point(
        system="unmhg",
        name="pictures",
        claim="With pictures, headlines tell what the pictures alone show",
        data=wide,
        arms={"whole": f"unmhg:{SIZE};pictures=1", "text alone": f"unmhg:{SIZE};pictures=0"},
        judge=judge,
        metrics=("colour", "name", "ROUGE-L"),
        example=example("headline", "picture_headline", wide_shop),
    ),
    Point(
        system="unmhg",
        name="index",
        claim="The index token picks the item's own picture among four, for items without interactions",
        data=wide,
        arms={"whole": f"unmhg:{SIZE}", "by chance": ""},
        judge=lambda model, seed: picked(model, things(seed)),
        chance=by_chance(things),
        metrics=("right picture",),
        example=cover_example(things),
    ),
    Point(
        system="unmhg",
        name="index, films",
        claim="The index token picks a film's own poster among four by its plot, of films that were held out",
        data=films,
        arms={"whole": f"unmhg:{FILMS}", "by chance": ""},
        judge=lambda model, seed: picked(model, film_covers(seed)),
        chance=by_chance(film_covers),
        metrics=("right picture",),
        example=cover_example(film_covers),
        real=True,
    ),
]
