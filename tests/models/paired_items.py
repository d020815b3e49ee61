"""Tiny catalogues of pictures whose colour their titles name."""

import io
from types import SimpleNamespace

import numpy as np
import polars as pl
from PIL import Image

import palate
from palate.core.content import Features

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 40)}
READERS = {"image": "pixels?side=32", "text": "pieces?size=60&length=8"}
WORD = {name: 5 + i for i, name in enumerate(COLOURS)}
SIDE = 32


def pixels(colour, rng):
    noise = rng.integers(-20, 20, (SIDE, SIDE, 3))
    return np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)


def view(n=48, no_picture=(), no_text=(), names=tuple(COLOURS), **left):
    """What a training view hands to a pretrainer: [CLS] colour lamp [SEP], and a picture of that colour."""
    rng = np.random.default_rng(0)
    colours = [names[i % len(names)] for i in range(n)]
    text, image = np.ones(n, bool), np.ones(n, bool)
    text[list(no_text)], image[list(no_picture)] = False, False
    ids = np.array([[2, WORD[c], 9 + i // 4 % 3, 3, 0, 0] for i, c in enumerate(colours)], np.float32)
    shots = np.stack([pixels(c, rng) for c in colours]).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    ids[~text], shots[~image] = 0, 0
    features = {"text": Features(ids, text, "pooled"), "image": Features(shots, image, "map")}
    features = {k: v for k, v in features.items() if left.get(k, True)}
    return SimpleNamespace(seed=0, n_items=n, fields={}, features=features)


def shop(n=40):
    """The same as a data set of raw content."""
    rng = np.random.default_rng(0)
    colours = [list(COLOURS)[i % 4] for i in range(n)]
    photos = []
    for colour in colours:
        out = io.BytesIO()
        Image.fromarray(pixels(colour, rng)).save(out, "PNG")
        photos.append(out.getvalue())
    titles = [f"a {colour} lamp" for colour in colours]
    items = pl.DataFrame({"item": [f"i{i}" for i in range(n)], "title": titles, "photo": photos})
    log = pl.DataFrame({"user": rng.integers(20, size=200), "item": rng.integers(n, size=200)})
    log = log.with_columns(item=pl.format("i{}", "item")).unique(maintain_order=True)
    columns = {"item": "id", "title": "text", "photo": "image"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="item_cold:seed=0")
