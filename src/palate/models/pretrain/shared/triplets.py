"""Triplets of items from weak signals: behaviour, relations, equal labels; and hard negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.models.pretrain.shared.interactions import neighbour_pairs

if TYPE_CHECKING:
    from palate.data.views import TrainView

PairSource = Literal["behaviour", "relations", "categories"]
BLOCK = 8192


def mine_pairs(
    view: TrainView, source: PairSource, labels: NDArray[np.bool_], k: int, rng: np.random.Generator
) -> IntArray:
    """Pairs of an anchor and a positive, each once.

    Args:
        view: training view.
        source: ``behaviour`` takes the ``k`` neighbours by who took them; ``relations`` the edges between items,
            without given neighbour graphs of content; ``categories`` up to ``k`` items with exactly the same labels.
        labels: bool [n_items, T].
        k: positives of an anchor at most; relations are not limited.
        rng: draws items of the same labels.

    Returns:
        (anchor, positive) int64 [n, 2].
    """
    if source == "behaviour":
        return neighbour_pairs(view.matrix, k)
    if source == "categories":
        return same_label_pairs(labels, k, rng)
    edge_pairs = [
        np.stack([edges.source, edges.target], axis=1)
        for name, edges in view.relations.edges.items()
        if edges.target_kind == "item" and not name.startswith("knn_")
    ]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *edge_pairs])
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def same_label_pairs(labels: NDArray[np.bool_], k: int, rng: np.random.Generator) -> IntArray:
    """Up to ``k`` pairs of each item with others that have the same labels.

    Args:
        labels: bool [n, T]; items without any label have no pairs.
        k: pairs of an item at most.
        rng: shuffles the items of a group.

    Returns:
        int64 [m, 2].
    """
    labelled = rng.permutation(np.flatnonzero(labels.any(1)))
    _, group = np.unique(labels[labelled], axis=0, return_inverse=True)
    order = labelled[np.argsort(group.ravel(), kind="stable")]
    sizes = np.bincount(group.ravel())
    starts, size = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
    position = np.arange(len(order)) - starts
    pairs = []
    # steps around a circle in random order, so that the partners of every item are spread over its group
    for step in range(1, k + 1):
        mask = size > step
        partner = order[starts + (position + step) % np.maximum(size, 1)]
        pairs.append(np.stack([order, partner], axis=1)[mask])
    return np.concatenate(pairs)


def hard_negatives(
    anchors: IntArray,
    pool: IntArray,
    positives: IntArray,
    labels: NDArray[np.bool_],
    tries: int,
    rng: np.random.Generator,
) -> IntArray:
    """Draw ``tries`` items for each anchor, and take the one that shares the most labels with it.

    Args:
        anchors: int64 [n].
        pool: int64, rows to draw from.
        positives: int64, sorted keys anchor * n_items + positive; these are never taken, nor is the anchor itself.
        labels: bool [n_items, T].
        tries: items drawn for an anchor; 0 takes none.
        rng: draws them.

    Returns:
        int64 [n]; -1 where no draw is allowed.
    """
    out = np.full(len(anchors), -1, np.int64)
    for start in range(0, len(anchors), BLOCK) if tries else ():
        block = anchors[start : start + BLOCK, None]
        drawn = pool[rng.integers(len(pool), size=(len(block), tries))]
        shared = (labels[block] & labels[drawn]).sum(2)
        shared[(drawn == block) | np.isin(block * len(labels) + drawn, positives)] = -1
        best = shared.argmax(1)[:, None]
        picked = np.where(np.take_along_axis(shared, best, 1) >= 0, np.take_along_axis(drawn, best, 1), -1)
        out[start : start + BLOCK] = picked[:, 0]
    return out
