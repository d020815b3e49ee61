"""Adapted CLIP: each of its stages against the same budget without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from _asked import SMALL, asking, fitting, searched
from _points import Point, unseen
from palate.data.dataset import Dataset

SIZES = "adapted_clip:epochs=6;dim=64;layers=1"
FEW = "adapted_clip:epochs=12;dim=64;layers=1;batch_size=64;lr=0.001;patience=12"
SEARCHES = 200


def few(seed: int, effect: bool) -> Dataset:
    """The shop of :func:`asking` with few searches: 200 for items that training may see."""
    data = asking(seed, effect)
    assert data.searches is not None
    searches, new = data.searches, unseen(data)
    seen = np.flatnonzero(~np.isin(searches.items, new))
    keep = np.isin(searches.items, new)
    keep[np.random.default_rng([seed, 1]).permutation(seen)[:SEARCHES]] = True
    times = None if searches.times is None else searches.times[keep]
    parts = {"query": searches.query[keep], "users": searches.users[keep], "items": searches.items[keep]}
    return replace(data, searches=replace(searches, **parts, times=times))


POINTS = [
    Point(
        system="adapted_clip",
        claim=claim,
        data=data,
        whole=sizes,
        ablation=f"{sizes};stages={left}",
        judge=judge,
        supervision="full",
        readers=SMALL,
    )
    for claim, data, sizes, left, judge in (
        (
            "Where people search rarely, items' own pictures and texts help to find the picture taken for a query",
            few,
            FEW,
            "[relevance,retrieval]",
            searched("image"),
        ),
        ("Searches help to find the picture taken for a query", asking, SIZES, "[base]", searched("image")),
        (
            "The relevance model's scores bring pictures that fit the query",
            asking,
            SIZES,
            "[base,retrieval]",
            fitting("image"),
        ),
    )
]
