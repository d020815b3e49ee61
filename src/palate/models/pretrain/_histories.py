"""What people took, as examples of fixed width, and as the mean of what is known of the items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.seeding import rng_for

if TYPE_CHECKING:
    from palate.data.views import TrainView


def histories(view: TrainView, useful: NDArray[np.bool_], length: int, name: str) -> IntArray:
    """Histories of ``useful`` items, cut into pieces of 2 to ``length``, and the other useful items as they come.

    Without times a history is in random order, drawn by the view's seed and ``name``.

    Returns:
        int64 [n, 1 + length]: 1 and the items of one person in order, or 0 and items of nobody; -1 fills rows up.
    """
    when = rng_for(view.seed, "histories", name).permutation(len(view)) if view.times is None else view.times
    kept = useful[view.items]
    lists = RaggedArray.build(view.users[kept], view.items[kept], view.n_users, when[kept])
    owners = lists.owners()
    place = np.arange(len(owners)) - lists.indptr[owners]
    starts = place % length == 0
    row = np.cumsum(starts) - 1
    taken = np.full((int(starts.sum()), length), -1, np.int64)
    taken[row, place % length] = lists.items
    taken = taken[(taken >= 0).sum(1) > 1]
    rest = np.setdiff1d(np.flatnonzero(useful), taken)
    alone = np.full((-(-len(rest) // length), length), -1, np.int64)
    alone.ravel()[: len(rest)] = rest
    kind = np.repeat([1, 0], [len(taken), len(alone)])
    return np.concatenate([kind[:, None], np.concatenate([taken, alone])], axis=1)


def pasts(view: TrainView, users: IntArray, useful: NDArray[np.bool_]) -> tuple[IntArray, NDArray[np.float32]]:
    """Useful items that any of ``users`` took, int64 [n], and each user's shares of them, float32 [U, n]."""
    taken = view.matrix[users][:, np.flatnonzero(useful)]
    some = np.unique(taken.indices)
    shares = taken[:, some].toarray().astype(np.float32)
    return np.flatnonzero(useful)[some], shares / np.maximum(shares.sum(1, keepdims=True), 1)
