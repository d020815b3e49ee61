"""A small shop in which people like one colour, and every item shows its colour in picture and title."""

import io

import numpy as np
import polars as pl
import torch
from PIL import Image

import palate
from palate.contracts import pretrainers
from palate.core.context import RunContext
from palate.data.relations import Edges, Relations
from palate.features.plan import ContentPlan
from palate.features.store import FeatureStore

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 40)}
ITEMS, USERS = 60, 40
READERS = {"image": "pixels?side=16", "text": "pieces?size=60&length=8"}
SMALL = {"dim": 16, "width": 8, "layers": 1, "batch_size": 32, "lr": 3e-3, "held": 0.2}


def colour_of(item):
    return list(COLOURS)[item % 4]


def picture(colour, rng):
    noise = rng.integers(-20, 20, (16, 16, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def shop(split="item_cold:seed=0", titled=True, photos=True, times=False):
    """``titled=False``: every third item has no title."""
    rng = np.random.default_rng(0)
    columns = {"item": "id", "title": "text"}
    frame = {
        "item": [f"i{i}" for i in range(ITEMS)],
        "title": [f"a {colour_of(i)} lamp" if titled or i % 3 else None for i in range(ITEMS)],
    }
    if photos:
        columns["photo"] = "image"
        frame["photo"] = [picture(colour_of(i), rng) for i in range(ITEMS)]
    log = [(u, i) for u in range(USERS) for i in range(ITEMS) if i % 4 == u % 4 and rng.random() < 0.7]
    log = pl.DataFrame({"user": [u for u, _ in log], "item": [f"i{i}" for _, i in log]})
    if times:
        log = log.with_columns(timestamp=pl.Series(rng.permutation(len(log))))
    same = [(i, j) for i in range(ITEMS) for j in (i + 4, i + 8) if j < ITEMS]
    source, target = (np.array(side, np.int64) for side in zip(*same))
    relations = Relations({"bought_with": Edges(source, target, np.ones(len(same), np.float32))})
    return palate.Dataset.from_frames(pl.DataFrame(frame), log, columns=columns, split=split, relations=relations)


def view_of(data, seed=0, readers=READERS):
    content = ContentPlan(
        {m: (m, spec, None) for m, spec in readers.items() if m in data.items.modalities}, FeatureStore(None)
    )
    return content.view(data.select_view(), data)


def build(name, **settings):
    return pretrainers.get(name)(**{**SMALL, **settings})


def set_up(name, data, **settings):
    """A model that is set up and not trained, and its view."""
    view = view_of(data)
    torch.manual_seed(0)
    model = build(name, **settings)
    model.setup(view, RunContext())
    return model.eval(), view


def same_colour(encoder, raws, colours):
    """Share of items whose nearest other item has their colour."""
    values = encoder.encode(raws).values
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    scores = values @ values.T
    np.fill_diagonal(scores, -np.inf)
    return np.mean([colours[i] == colours[j] for i, j in enumerate(scores.argmax(1))])
