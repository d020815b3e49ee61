"""A tiny shop: plain pictures of one colour, which an attribute and the title name, and users who like one colour."""

import io

import numpy as np
import polars as pl
from PIL import Image

import palate

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 40)}
TINY = {
    "side": 16, "channels": 8, "latent": 4, "dim": 32, "depth": 2, "heads": 2, "batch_size": 16, "tokenizer_epochs": 40,
    "epochs": 60, "warmup_steps": 10, "ema": 0.95, "tokenizer_lr": 1e-2, "lr": 2e-3, "word_drop": 0.4,
}  # fmt: skip


def png(colour, seed=0, side=16):
    """A picture of one colour with a little noise."""
    noise = np.random.default_rng(seed).integers(-15, 15, (side, side, 3))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def shop(n=48, users=24):
    """The data set; user u likes colour u % 4 and took six items of it."""
    names = list(COLOURS)
    colours = [names[i % 4] for i in range(n)]
    items = pl.DataFrame(
        {
            "item": [f"i{i}" for i in range(n)],
            "title": [f"a {colour} lamp" for colour in colours],
            "colour": colours,
            "photo": [png(colour, i) for i, colour in enumerate(colours)],
        }
    )
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"i{4 * k + u % 4}", t) for u in range(users) for t, k in enumerate(rng.permutation(n // 4)[:8])]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    columns = {"item": "id", "title": "text", "colour": "attributes", "photo": "image"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="leave_one_out")


def nearest(image):
    """The colour that the mean of a picture (bytes, or uint8 [3, h, w]) is nearest to."""
    if isinstance(image, bytes):
        image = np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).transpose(2, 0, 1)
    mean = np.asarray(image, np.float64).mean((1, 2))
    return min(COLOURS, key=lambda name: float(((mean - np.array(COLOURS[name])) ** 2).sum()))
