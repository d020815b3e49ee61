"""Pairs of a user and an item to learn taste from."""

from __future__ import annotations

import numpy as np

from palate.core.batch import IntArray
from palate.data.views import TrainView


def taste_examples(train: TrainView, with_picture: IntArray, longest: int) -> IntArray:
    """Items that users took, each with the user's other items, int64 [n, 1 + longest].

    Args:
        train: histories.
        with_picture: int64 [n_items], -1 for items without a picture; such items are no examples.
        longest: other items, the newest; -1 where there are no more.

    Returns:
        The item in the first column; none for users who took one item alone.
    """
    history = train.history
    owners = history.owners()
    kept = np.flatnonzero((with_picture[history.items] >= 0) & (history.lengths[owners] > 1))
    starts, ends = history.indptr[owners[kept]][:, None], history.indptr[owners[kept] + 1][:, None]
    # one more than is read, so that as many are left without the item itself
    back = ends - 1 - np.arange(longest + 1)
    inside = (back >= starts) & (back != kept[:, None])
    other = np.where(inside, history.items[np.maximum(back, 0)], -1)
    order = np.argsort(~inside, axis=1, kind="stable")
    other = np.take_along_axis(other, order, 1)[:, :longest]
    return np.column_stack([history.items[kept], other])
