"""Your own folder: from two tables and some pictures to recommendations, also for items that come later.

python examples/own_folder.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

import palate
from palate.data.check import check

KINDS = {"lamp": (230, 180, 60), "chair": (140, 90, 50), "vase": (60, 110, 200), "rug": (180, 40, 80)}


def write_shop(folder: Path, n_items: int = 40, n_users: int = 80) -> Path:
    """A shop in which people like two kinds of things; any folder of this shape will do."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    kinds = [list(KINDS)[row % len(KINDS)] for row in range(n_items)]
    for row, kind in enumerate(kinds):
        colour = np.clip(np.array(KINDS[kind]) + rng.integers(-25, 25, 3), 0, 255).astype(np.uint8)
        Image.fromarray(np.broadcast_to(colour, (32, 32, 3)).copy()).save(folder / f"pictures/{row}.png")
    pl.DataFrame(
        {
            "item_id": [f"{kind}-{row}" for row, kind in enumerate(kinds)],
            "title": [f"A {kind} in style {row // 4}" for row, kind in enumerate(kinds)],
            "category": kinds,
            "price": rng.uniform(5, 200, n_items).round(2),
            "image": [f"pictures/{row}.png" if row % 7 else None for row in range(n_items)],
        }
    ).write_csv(folder / "items.csv")
    events = []
    for user in range(n_users):
        liked = rng.choice(list(KINDS), 2, replace=False)
        chance = np.array([6.0 if kind in liked else 1.0 for kind in kinds])
        for step, row in enumerate(rng.choice(n_items, 8, replace=False, p=chance / chance.sum())):
            events.append((f"user-{user}", f"{kinds[row]}-{row}", 1_700_000_000 + 1000 * user + step))
    log = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    log.write_csv(folder / "interactions.csv")
    (folder / "palate.yaml").write_text("split: leave_one_out\n")
    return folder


def main(folder: Path) -> pl.DataFrame:
    """Check, fit, recommend, save, restore, add."""
    shop = write_shop(folder / "shop")

    # 1. What is in there? Counts, missing content, duplicates, leaks; every fault with file and row.
    print(check(shop).render())

    # 2. Read it and fit the default model. The last item of each user is the test part, which fitting never reads.
    data = palate.load(shop)
    model = palate.models.Blend().fit(data)

    # 3. Recommend to known users, to a visitor of whom only a history is known, and from one item.
    print(model.recommend(users=["user-0", "user-1"], k=3))
    print(model.recommend(history=["lamp-0", "lamp-4"], k=3))
    print(model.similar_items("vase-2", k=3))

    # 4. Save the run, and use it elsewhere. An item that came later is recommendable at once; nothing is trained again.
    model.save(folder / "run")
    again = palate.restore(folder / "run")
    new = pl.DataFrame({"item_id": ["lamp-new"], "title": ["A lamp in style 3"], "category": ["lamp"], "price": [40.0]})
    again.add_items(new)
    lists = again.recommend(history=["lamp-0", "lamp-4", "lamp-8"], k=10)
    print(lists)
    return lists


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))
