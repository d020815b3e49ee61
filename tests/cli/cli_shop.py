"""A shop of 24 items in a folder: three kinds by title, brand and colour; people like one kind."""

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

KINDS = (("lamp", "Lumo", (220, 40, 40)), ("chair", "Sedo", (40, 200, 60)), ("vase", "Floro", (50, 70, 220)))
N_ITEMS, N_USERS = 24, 30
HOSTILE = '<x-lamp onclick=alert("lamp")>'


def title_of(row: int) -> str:
    kind = KINDS[row % 3][0]
    return HOSTILE if row == 0 else f"{kind} number{row} for a {kind} room"


def paint(file: Path, row: int) -> None:
    colour = np.clip(np.array(KINDS[row % 3][2]) + row, 0, 255).astype(np.uint8)
    Image.fromarray(np.broadcast_to(colour, (8, 8, 3)).copy()).save(file)


def write_shop(folder: Path) -> Path:
    """items.csv, interactions.csv and PNGs; every fifth item has no picture, one has a broken one."""
    (folder / "pictures").mkdir(parents=True)
    pictures = []
    for row in range(N_ITEMS):
        name = f"pictures/{row}.png"
        pictures.append(None if row % 5 == 4 else name)
        if row % 5 != 4:
            paint(folder / name, row)
    (folder / "pictures" / "1.png").write_bytes(b"\x89PNG not really")
    pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(N_ITEMS)],
            "title": [title_of(row) for row in range(N_ITEMS)],
            "brand": [KINDS[row % 3][1] for row in range(N_ITEMS)],
            "price": [10.0 + row for row in range(N_ITEMS)],
            "image": pictures,
        }
    ).write_csv(folder / "items.csv")
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        own = np.arange(user % 3, N_ITEMS, 3)
        taken = [*rng.choice(own, 6, replace=False), int(rng.integers(N_ITEMS))]
        rows += [(f"u{user}", f"i{item}", 1_600_000_000 + user + 100 * at) for at, item in enumerate(taken)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    log.unique(["user_id", "item_id"], maintain_order=True).write_csv(folder / "interactions.csv")
    (folder / "palate.yaml").write_text("name: tiny-shop\nsplit: leave_one_out\n")
    return folder
