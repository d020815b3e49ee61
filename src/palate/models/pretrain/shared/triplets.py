"""Triplets of items from weak signals: who took what, relations, equal topics; rivals that are hard to tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.models.pretrain.shared.interactions import neighbour_pairs

if TYPE_CHECKING:
    from palate.data.views import TrainView

Source = Literal["behaviour", "relations", "categories"]
BLOCK = 8192


def mined_pairs(
    view: TrainView, source: Source, traits: NDArray[np.bool_], k: int, rng: np.random.Generator
) -> IntArray:
    """(item, one that belongs with it) int64 [n, 2], each once.

    ``behaviour``: the ``k`` neighbours by who took them; ``relations``: edges between items, given neighbour graphs of
    content apart; ``categories``: up to ``k`` items with exactly the same topics.

    Args:
        traits: bool [n_items, topics].
    """
    if source == "behaviour":
        return neighbour_pairs(view.matrix, k)
    if source == "categories":
        return alike_pairs(traits, k, rng)
    found = [
        np.stack([edges.source, edges.target], axis=1)
        for name, edges in view.relations.edges.items()
        if edges.target_kind == "item" and not name.startswith("knn_")
    ]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *found])
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def alike_pairs(traits: NDArray[np.bool_], k: int, rng: np.random.Generator) -> IntArray:
    """Up to ``k`` pairs for each item with others that have the same ``traits`` [n, topics]; none without any."""
    known = rng.permutation(np.flatnonzero(traits.any(1)))
    _, group = np.unique(traits[known], axis=0, return_inverse=True)
    order = known[np.argsort(group.ravel(), kind="stable")]
    sizes = np.bincount(group.ravel())
    starts, size = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
    place = np.arange(len(order)) - starts
    found = []
    # round a circle in random order: partners of every item are spread over its group
    for step in range(1, k + 1):
        more = size > step
        found.append(np.stack([order, order[starts + (place + step) % np.maximum(size, 1)]], axis=1)[more])
    return np.concatenate(found)


def rivals(
    anchors: IntArray,
    pool: IntArray,
    partners: IntArray,
    traits: NDArray[np.bool_],
    tries: int,
    rng: np.random.Generator,
) -> IntArray:
    """For each anchor the one of ``tries`` items drawn from ``pool`` that shares most traits with it, int64 [n].

    It is neither the anchor nor one of its ``partners`` (keys anchor * n_items + partner, sorted); -1 where all are.
    """
    out = np.full(len(anchors), -1, np.int64)
    for start in range(0, len(anchors), BLOCK) if tries else ():
        mine = anchors[start : start + BLOCK, None]
        drawn = pool[rng.integers(len(pool), size=(len(mine), tries))]
        shared = (traits[mine] & traits[drawn]).sum(2)
        shared[(drawn == mine) | np.isin(mine * len(traits) + drawn, partners)] = -1
        best = shared.argmax(1)[:, None]
        picked = np.where(np.take_along_axis(shared, best, 1) >= 0, np.take_along_axis(drawn, best, 1), -1)
        out[start : start + BLOCK] = picked[:, 0]
    return out
