"""UNMHG: pictures in the input against text alone; and the token that picks the picture against chance."""

import polars as pl

import palate
from _common import real
from _generator_points import (
    Point,
    cases,
    colour_of,
    column,
    example,
    overlap,
    request,
    shop,
    texts,
    written,
)  # fmt: skip
from palate.contracts import GenerationRequest
from palate.core.seeding import rng_for

SIZE = (
    "target=picture_headline;dim=64;layers=1;dropout=0;epochs=10;batch_size=48;beam=2;target_length=8;"
    "body_length=40;lr=0.005"
)
FILMS = "dim=64;layers=1;epochs=8;batch_size=48;beam=1;target_length=8;body_length=60;lr=0.002"
CHOICES = 4


def judge(model, seed):
    """The colour that only the picture shows, in headlines."""
    world, made = shop(seed), [one.text or "" for one in written(model, seed, "headline")]
    pairs = list(zip(cases(seed), made))
    return {
        "colour": column([colour_of(world, case.item) in text.lower().split() for case, text in pairs]),
        "name": column([world.names[case.item].lower() in text.lower() for case, text in pairs]),
        **overlap(made, [world.texts(case)["picture_headline"] or "" for case, _ in pairs]),
    }


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
    world, rng = shop(seed), rng_for(seed, "candidates")
    new = [f"i{row}" for row in range(len(world.known), world.n_items)]
    asked = [request(world, case, "cover") for case in cases(seed)]
    return [covered(one.item, one.history, among(one.item["item"], new, rng)) for one in asked]


def covered(item, history, candidates):
    """A request for a cover; pictures are known by their ids."""
    return GenerationRequest("cover", item, history, images={one: one.encode() for one in candidates})


def films(seed):
    """Films with poster and plot, title to be found; nobody watches: one user a film stands in. A fifth is held out."""
    items = film_table()
    held = set(held_out(items, seed))
    log = [(f"u{at}", one) for at, one in enumerate(items["item"]) if one not in held]
    columns = {"item": "id", "title": "text", "plot": "text", "poster": "image"}
    return palate.Dataset.from_frames(
        items, pl.DataFrame(log, ["user", "item"], orient="row"), columns=columns, split="random:test=0.05,valid=0.05",
        name="films",
    )  # fmt: skip


def film_table():
    """Item, title, plot and poster of the films that have all of them."""
    folder = real("movies")
    rows = pl.read_ndjson(folder / "movies.jsonl", infer_schema_length=None)
    posters = {file.stem: str(file) for file in (folder / "posters").glob("*.jpg")}
    found = [
        (str(row["movie_id"]), row["title"], row["Plot"], posters[str(row["movie_id"])])
        for row in rows.iter_rows(named=True)
        if str(row["movie_id"]) in posters and (row["Plot"] or "N/A") != "N/A" and row["title"]
    ]
    return pl.DataFrame(found, ["item", "title", "plot", "poster"], orient="row")


def held_out(items, seed):
    """Ids of the films that are not learnt from."""
    return rng_for(seed, "held out").permutation(items["item"].to_numpy())[: len(items) // 5].tolist()


def film_covers(seed):
    """Covers of held-out films, each with four held-out posters to choose from."""
    items, rng = film_table(), rng_for(seed, "candidates")
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
        data=texts,
        arms={"whole": f"unmhg:{SIZE};pictures=1", "text alone": f"unmhg:{SIZE};pictures=0"},
        judge=judge,
        metrics=("colour", "name", "ROUGE-L"),
        example=example("headline", "picture_headline"),
    ),
    Point(
        system="unmhg",
        name="index",
        claim="The index token picks the item's own picture among four, of items that nobody took",
        data=texts,
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
