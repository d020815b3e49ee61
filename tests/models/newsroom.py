"""A small newspaper: four sections, each with words of its own, and readers who keep to one section."""

import numpy as np
import polars as pl
import torch

import palate
from palate.contracts import pretrainers
from palate.core.context import RunContext
from palate.data.relations import Edges, Relations
from palate.features.plan import ContentPlan
from palate.features.store import FeatureStore

SECTIONS = {
    "music": (("opera", "violin"), ("singer", "stage")),
    "sport": (("tennis", "rowing"), ("athlete", "medal")),
    "food": (("bread", "cheese"), ("baker", "oven")),
    "space": (("rocket", "comet"), ("orbit", "crew")),
}
NAMES = tuple(SECTIONS)
ITEMS, USERS = 60, 40
READERS = {"text": "pieces?size=120&length=12"}
SMALL = {"dim": 16, "layers": 1, "batch_size": 16, "lr": 3e-3, "held": 0.2}


def section_of(item):
    return NAMES[item % 4]


COLD = "item_cold:seed=0"


def news(split="random:seed=0", silent=(), bare=(), sections=True, bodies=True, clicks=True, times=True):
    """``silent`` items have no text, ``bare`` ones no body; ``clicks=False``: every reader reads one item."""
    rng = np.random.default_rng(0)
    titles, texts = [], []
    for item in range(ITEMS):
        heads, facts = SECTIONS[section_of(item)]
        titles.append(f"the {heads[item // 4 % 2]} report")
        texts.append(f"a {facts[rng.integers(2)]} and the {heads[rng.integers(2)]}")
    frame = {"item": [f"i{i}" for i in range(ITEMS)]}
    frame["title"] = [None if i in silent else titles[i] for i in range(ITEMS)]
    columns = {"item": "id", "title": "text"}
    if bodies:
        frame["body"] = [None if i in silent or i in bare else texts[i] for i in range(ITEMS)]
        columns["body"] = "text"
    if sections:
        frame["section"] = [section_of(i) if i % 7 else None for i in range(ITEMS)]
        columns["section"] = "attributes"
    log = [(u, i) for u in range(USERS) for i in range(ITEMS) if i % 4 == u % 4 and rng.random() < 0.6]
    if not clicks:
        log = [(i, i) for i in range(ITEMS)]
    table = pl.DataFrame({"user": [u for u, _ in log], "item": [f"i{i}" for _, i in log]})
    if times:
        table = table.with_columns(timestamp=pl.Series(rng.permutation(len(log))))
    same = [(i, j) for i in range(ITEMS) for j in (i + 4, i + 8) if j < ITEMS] if clicks else []
    source, target = (np.array([pair[side] for pair in same], np.int64) for side in (0, 1))
    relations = Relations({"read_with": Edges(source, target, np.ones(len(same), np.float32))})
    return palate.Dataset.from_frames(pl.DataFrame(frame), table, columns=columns, split=split, relations=relations)


def build(name, **settings):
    return pretrainers.get(name)(**{**SMALL, **settings})


def set_up(name, data, **settings):
    """A model that is set up and not trained, and its view."""
    model = build(name, **settings)
    content = ContentPlan({"text": ("text", READERS["text"], None)}, FeatureStore(None), model.columns(data.items))
    view = content.view(data.select_view(), data, fields=True)
    torch.manual_seed(0)
    model.setup(view, RunContext())
    return model.eval(), view


def same_section(encoder, data):
    """Share of items whose nearest other item is of their section."""
    found = encoder.encode(data.items.raw("text"))
    values = found.values[found.present]
    sections = np.flatnonzero(found.present) % 4
    scores = values @ values.T
    np.fill_diagonal(scores, -np.inf)
    return float((sections[scores.argmax(1)] == sections).mean())


def as_saved(folder, encoder, data):
    """Vectors of ``encoder`` and of what was saved of it, and of single items apart from the rest."""
    from palate.features.saved import load_encoder

    raws = data.items.raw("text")[:6]
    again = load_encoder(folder)
    alone = np.concatenate([again.encode([raw]).values for raw in raws])
    return encoder.encode(raws).values, again.encode(raws).values, alone
