"""Runs of simulated shops of a given size, to serve: every item has been clicked, so every item has a vector."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from _common import WORK

VECTORS, CONTENT = "spectral:dim={};filter=1;popularity=0.5", "content_knn"
"""Models: of vectors of so many numbers, and one that takes in new items (its dim is 0)."""
LACKING = 50
SPLIT = "random:valid=0.0005,test=0.0005"


def shop(items: int, users: int, dim: int, seed: int = 0, interactions: int = 20) -> Path:
    """A run folder, made once under PALATE_WORK; vectors of items have ``dim`` numbers, 0 takes their content instead.

    A seed other than 0 leaves every 50th item out, which the shop of seed 0 has.
    """
    folder = WORK / "serving" / f"run-{items}-{dim}-{seed}"
    if not (folder / "manifest.json").is_file():
        sizes = [str(number) for number in (items, users, dim, seed, interactions)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, __file__, str(folder), *sizes], check=True, env=environment)
    return folder


def films() -> Path:
    """The default run of the real films, made once under PALATE_WORK."""
    folder = WORK / "serving" / "run-films"
    if not (folder / "manifest.json").is_file():
        data = str(Path(os.environ["PALATE_DATA"]) / "movies")
        subprocess.run([sys.executable, "-m", "palate", "fit", data, "--out", str(folder)], check=True)
    return folder


def ids(run: Path) -> tuple[list[str], list[str]]:
    """Users and items that a run knows."""
    users, items = (pl.read_parquet(run / file)["id"].to_list() for file in ("users.parquet", "items/ids.parquet"))
    return users, items


def world(items: int, users: int, interactions: int) -> Path:
    folder = WORK / "serving" / f"world-{items}"
    if not (folder / "world.json").is_file():
        sizes = ["--items", str(items), "--users", str(users), "--interactions", str(interactions)]
        options = [*sizes, "--no-media", "--impression-share", "0"]
        subprocess.run([sys.executable, "-m", "palate", "world", str(folder), *options], check=True)
    return folder


def make(folder: Path, items: int, users: int, dim: int, seed: int, interactions: int) -> None:
    import palate
    from palate.contracts.parse import parse_model
    from palate.training.fit import fit

    place = world(items, users, interactions)
    goods, log = pl.read_parquet(place / "items.parquet"), pl.read_parquet(place / "interactions.parquet")
    if seed:
        goods = goods.filter(pl.int_range(pl.len()) % LACKING != 1)
        log = log.join(goods, on="item_id", how="semi")
    log = log.select("user_id", "item_id")
    left = goods.select("item_id").join(log, on="item_id", how="anti")
    known = log["user_id"].unique(maintain_order=True)
    who = known.gather(np.random.default_rng(seed).integers(0, len(known), len(left))).alias("user_id")
    log = pl.concat([log, left.select(who, "item_id")])
    columns = {"item_id": "id", **dict.fromkeys(("category", "subcategory", "brand", "price"), "attributes")}
    data = palate.Dataset.from_frames(goods.drop("first_seen"), log, columns=columns, split=SPLIT, name=place.name)
    fit(parse_model(VECTORS.format(dim) if dim else CONTENT), data, seed=seed).save(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
