"""Training examples from interactions: pairs of items, and histories of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.seeding import rng_for
from palate.metrics.ragged import ragged_best

if TYPE_CHECKING:
    from palate.data.views import TrainView

BLOCK = 1024


def neighbour_pairs(matrix: sp.csr_array, k: int) -> IntArray:
    """(item, neighbour) int64 [n, 2]: the ``k`` best cosines of columns, above zero; an item is not its own neighbour.

    Args:
        matrix: [users, items], who took what.
    """
    counts = np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1)
    # the best are picked among numbers of single precision
    unit = sp.csr_array(matrix @ sp.diags_array(counts**-0.5), dtype=np.float32)
    columns = sp.csr_array(unit.T)
    out = []
    for start in range(0, columns.shape[0], BLOCK):
        rows = np.arange(start, min(start + BLOCK, columns.shape[0]))
        cosines = sp.csr_array(columns[rows] @ unit)
        cosines.data[cosines.indices == np.repeat(rows, np.diff(cosines.indptr))] = 0
        cosines.eliminate_zeros()
        found, _ = ragged_best(cosines.indptr, cosines.indices, cosines.data, k)
        at, column = np.nonzero(found >= 0)
        out.append(np.stack([rows[at], found[at, column]], axis=1))
    return np.concatenate(out).astype(np.int64)


def next_pairs(view: TrainView, rng: np.random.Generator) -> IntArray:
    """(item, the one its user took next) int64 [n, 2]; without times, histories are read in random order."""
    when = rng.permutation(len(view)) if view.times is None else view.times
    order = np.lexsort((when, view.users))
    users, items = view.users[order], view.items[order]
    follows = (users[1:] == users[:-1]) & (items[1:] != items[:-1])
    return np.stack([items[:-1][follows], items[1:][follows]], axis=1)


def among(pairs: IntArray, useful: NDArray[np.bool_]) -> IntArray:
    """Pairs whose items are both ``useful`` [n_items]."""
    return pairs[useful[pairs].all(1)] if len(pairs) else pairs.reshape(0, 2)


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
