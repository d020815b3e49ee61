"""A catalogue of thirty items in which everything that can be odd about an item occurs, and variants of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from palate.core.content import Features
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.relations import Edges, Relations

N_USERS, N_ITEMS, TASTES = 36, 30, 4
LAST_WARM = 26
COLD = 27
"""Nobody took it, its content is complete. 28 lacks a picture and a buyer, 29 has neither content nor behaviour."""
BLANK = 29
NO_IMAGE, NO_AUDIO = (3, 11, 28, 29), (3, 5, 29)
TRAIN, TEST = 0, 2


@cache
def log() -> pl.DataFrame:
    """Eight items a user, six to train on; taste decides: item i belongs to taste i % 4."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(N_USERS):
        weight = np.where(np.arange(LAST_WARM + 1) % TASTES == user % TASTES, 40.0, 1.0) / (
            1 + np.arange(LAST_WARM + 1) // 6
        )
        taken = rng.choice(LAST_WARM + 1, 8, replace=False, p=weight / weight.sum())
        rows += [(user, int(item), place, max(0, place - 5)) for place, item in enumerate(taken)]
    return pl.DataFrame(rows, schema=["user", "item", "time", "part"], orient="row")


def vectors() -> dict[str, Features]:
    """Pictures [30, 8] and sounds [30, 6] that follow taste, with gaps; fresh arrays: a broken model may write."""
    rng = np.random.default_rng(11)
    made = {}
    for name, width, gaps in (("image", 8, NO_IMAGE), ("audio", 6, NO_AUDIO)):
        centres = rng.normal(size=(TASTES, width))
        values = (centres[np.arange(N_ITEMS) % TASTES] + 0.5 * rng.normal(size=(N_ITEMS, width))).astype(np.float32)
        made[name] = with_gaps(values, gaps, name)
    return made


def with_gaps(values: np.ndarray, gaps: tuple[int, ...], name: str) -> Features:
    """Features in which the rows ``gaps`` are absent."""
    present = np.ones(len(values), bool)
    present[list(gaps)] = False
    return Features(np.where(present[:, None], values, 0).astype(np.float32), present, identity=f"given:tiny-{name}")


def changed(rows: np.ndarray | slice, shift: float, seed: int = 3) -> dict[str, Features]:
    """:func:`vectors` with the present vectors in ``rows`` redrawn."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, found in vectors().items():
        values = found.values.copy()
        values[rows] = rng.normal(shift, 1, size=values[rows].shape)
        values[~found.present] = 0
        out[name] = Features(values, found.present, identity=f"{found.identity}-{shift}")
    return out


def item_ids(order: np.ndarray | None = None) -> pl.Series:
    rows = np.arange(N_ITEMS) if order is None else order
    return pl.Series("item", [f"i{row:02d}" for row in rows])


def dataset(
    features: dict[str, Features] | None,
    *,
    events: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
    columns: dict[str, str] | None = None,
    relations: Relations | None = None,
    split: str | None = None,
) -> Dataset:
    events = (log() if events is None else events).with_columns(
        user=pl.format("u{}", pl.col("user").cast(pl.String).str.zfill(2)),
        item=pl.format("i{}", pl.col("item").cast(pl.String).str.zfill(2)),
    )
    return Dataset.from_frames(
        pl.DataFrame({"item": item_ids()}) if items is None else items,
        events,
        pl.DataFrame({"user": [f"u{row:02d}" for row in range(N_USERS)]}),
        columns=columns or {"item": "id"},
        features=features,
        relations=relations,
        split=split,
        name="tiny",
    )


def plain() -> Dataset:
    return dataset(vectors())


def no_content() -> Dataset:
    return dataset(None)


def absent_rows_changed() -> Dataset:
    """What an absent row holds is nobody's business."""
    out = {}
    for name, found in vectors().items():
        values = found.values.copy()
        values[~found.present] = 7.5
        out[name] = Features(values, found.present, identity=found.identity)
    return dataset(out)


def other_content() -> Dataset:
    return dataset(changed(slice(None), 0.5))


def other_test() -> Dataset:
    """The same training and validation rows; every test row names another item."""
    known = set(map(tuple, log().select("user", "item").rows()))
    moved = []
    for user, item, time, part in log().rows():
        new = item
        while part == TEST and (new == item or (user, new) in known):
            new = (new + 1) % (LAST_WARM + 1)
        moved.append((user, new, time, part))
    return dataset(vectors(), events=pl.DataFrame(moved, schema=log().schema, orient="row"))


COLD_SPLIT = "item_cold:seed=1,valid=0.2,test=0.2"


def item_cold() -> Dataset:
    return dataset(vectors(), split=COLD_SPLIT)


def item_cold_changed() -> Dataset:
    """Like :func:`item_cold`; the content of the cold items is another."""
    cold = item_cold().split.test_candidates
    assert cold is not None
    return dataset(changed(np.flatnonzero(cold), 2.0), split=COLD_SPLIT)


def neighbours() -> Dataset:
    """Given k-NN graphs instead of vectors."""
    edges = {}
    for name, found in vectors().items():
        rows = np.flatnonzero(found.present)
        near = np.argsort(-(found.values[rows] @ found.values[rows].T), axis=1)[:, :4]
        source, target = np.repeat(rows, 4), rows[near].ravel()
        keep = source != target
        edges[f"knn_{name}"] = Edges(source[keep], target[keep], np.ones(int(keep.sum()), np.float32))
    return dataset(None, relations=Relations(edges))


PERMUTATION = np.random.default_rng(5).permutation(N_ITEMS)
"""Row r of the permuted catalogue is item PERMUTATION[r]."""


def permuted() -> Dataset:
    features = {name: found.take(PERMUTATION) for name, found in vectors().items()}
    return dataset(features, items=pl.DataFrame({"item": item_ids(PERMUTATION)}))


THEMES = (
    "space robot laser planet",
    "kiss wedding letter spring",
    "heist bank getaway gun",
    "ghost cellar night scream",
)


def described() -> Dataset:
    """Text and attributes, which can be encoded for items added later; picture vectors beside them."""
    words = [f"{THEMES[row % TASTES]} number {row}" for row in range(N_ITEMS)]
    table = pl.DataFrame(
        {
            "item": item_ids(),
            "title": [None if row in (3, BLANK) else text for row, text in enumerate(words)],
            "genre": [None if row in (3, BLANK) else "SRCH"[row % TASTES] for row in range(N_ITEMS)],
        }
    )
    columns = {"item": "id", "title": "text", "genre": "attributes"}
    return dataset({"image": vectors()["image"]}, items=table, columns=columns)


def described_cold() -> Dataset:
    return _described_cold(changed=False)


def described_cold_changed() -> Dataset:
    """Like :func:`described_cold`; words and attributes of the cold items are others."""
    return _described_cold(changed=True)


def _described_cold(changed: bool) -> Dataset:
    cold = item_cold().split.test_candidates
    assert cold is not None
    rng = np.random.default_rng(17)
    titles, genres = [], []
    for row in range(N_ITEMS):
        other = changed and bool(cold[row])
        words = [f"strange{word}" for word in rng.integers(0, 9, 6)] if other else [THEMES[row % TASTES]]
        titles.append(None if row == BLANK else f"{' '.join(words)} number {row}")
        genres.append(None if row == BLANK else f"other{row}" if other else "SRCH"[row % TASTES])
    table = pl.DataFrame(
        {
            "item": item_ids(),
            "title": titles,
            "genre": genres,
            "price": [900.0 + row if changed and cold[row] else row * 1.0 for row in range(N_ITEMS)],
        }
    )
    columns = {"item": "id", "title": "text", "genre": "attributes", "price": "attributes"}
    return dataset(None, items=table, columns=columns, split=COLD_SPLIT)


def arrivals(taste: int = 0) -> pl.DataFrame:
    """Two items for :func:`described`: one with words, one that nothing is known of."""
    return pl.DataFrame(
        {
            "item": ["new-full", "new-blank"],
            "title": [f"{THEMES[taste]} number 99", None],
            "genre": ["SRCH"[taste], None],
        }
    )


def memory_mapped(folder: Path) -> Dataset:
    """:func:`plain`, its vectors read-only memory maps of files."""
    out = {}
    for name, found in vectors().items():
        np.save(folder / f"{name}.npy", found.values)
        present = found.present.copy()
        present.flags.writeable = False
        out[name] = Features(np.load(folder / f"{name}.npy", mmap_mode="r"), present, identity=found.identity)
    return dataset(out)


def broken_vector(value: float) -> Dataset:
    """One present vector holds ``value``, NaN or infinite."""
    found = vectors()["image"]
    values = found.values.copy()
    values[4, 2] = value
    return dataset({**vectors(), "image": Features(values, found.present, identity="given:broken")})


def no_training_rows() -> Dataset:
    return dataset(vectors(), events=log().with_columns(part=pl.lit(TEST)))


VARIANTS = {
    make.__name__: make
    for make in (
        plain, no_content, absent_rows_changed, other_content, other_test, item_cold, item_cold_changed, neighbours,
        permuted, described, described_cold, described_cold_changed,
    )
}  # fmt: skip


@cache
def variant(name: str) -> Dataset:
    return VARIANTS[name]()


def grown(catalog: Catalog, twin: int) -> dict[str, Features]:
    """Given content with two more rows: a twin of item ``twin``, and one that nothing is known of."""
    out = {}
    for name, found in catalog.given.items():
        values = np.concatenate([found.values, found.values[twin : twin + 1], np.zeros((1, found.dim), np.float32)])
        present = np.concatenate([found.present, found.present[twin : twin + 1], [False]])
        out[name] = Features(values, present, identity=found.identity)
    return out
