"""Training examples from interactions: pairs of items, and histories of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.seeding import rng_for
from palate.metrics.ragged import ragged_topk

if TYPE_CHECKING:
    from palate.data.views import TrainView

BLOCK = 1024


def neighbour_pairs(matrix: sp.csr_array, k: int) -> IntArray:
    """Pairs of each item and its ``k`` nearest others by the cosine of their columns, where that is above zero.

    Args:
        matrix: [users, items], nonzero where a user took an item.
        k: neighbours of an item at most.

    Returns:
        (item, neighbour) int64 [n, 2].
    """
    counts = np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1)
    # the best are selected in single precision
    normalized = sp.csr_array(matrix @ sp.diags_array(counts**-0.5), dtype=np.float32)
    columns = sp.csr_array(normalized.T)
    pairs = []
    for start in range(0, columns.shape[0], BLOCK):
        rows = np.arange(start, min(start + BLOCK, columns.shape[0]))
        cosines = sp.csr_array(columns[rows] @ normalized)
        cosines.data[cosines.indices == np.repeat(rows, np.diff(cosines.indptr))] = 0
        cosines.eliminate_zeros()
        best, _ = ragged_topk(cosines.indptr, cosines.indices, cosines.data, k)
        row, column = np.nonzero(best >= 0)
        pairs.append(np.stack([rows[row], best[row, column]], axis=1))
    return np.concatenate(pairs).astype(np.int64)


def next_pairs(view: TrainView, rng: np.random.Generator) -> IntArray:
    """Pairs of items that follow each other in a user's history.

    Args:
        view: training view; without times, histories are in random order.
        rng: draws that order.

    Returns:
        (item, next item) int64 [n, 2].
    """
    when = rng.permutation(len(view)) if view.times is None else view.times
    order = np.lexsort((when, view.users))
    users, items = view.users[order], view.items[order]
    follows = (users[1:] == users[:-1]) & (items[1:] != items[:-1])
    return np.stack([items[:-1][follows], items[1:][follows]], axis=1)


def pairs_within(pairs: IntArray, allowed: NDArray[np.bool_]) -> IntArray:
    """Pairs [n, 2] whose items are both ``allowed``, bool [n_items]."""
    return pairs[allowed[pairs].all(1)] if len(pairs) else pairs.reshape(0, 2)


def history_examples(view: TrainView, allowed: NDArray[np.bool_], length: int, name: str, seed: int) -> IntArray:
    """Histories cut into pieces of 2 to ``length`` items, then the allowed items that are in no piece.

    Args:
        view: training view; without times, a history is in random order.
        allowed: bool [n_items], items that examples may hold.
        length: items of an example at most.
        name: name of the system.
        seed: seed of the run; it seeds that order together with ``name``.

    Returns:
        int64 [n, 1 + length]: 1 and items of one user in order, or 0 and items without a user; -1 is padding.
    """
    when = rng_for(seed, "histories", name).permutation(len(view)) if view.times is None else view.times
    mask = allowed[view.items]
    histories = RaggedArray.build(view.users[mask], view.items[mask], view.n_users, when[mask])
    owners = histories.owners()
    position = np.arange(len(owners)) - histories.indptr[owners]
    starts = position % length == 0
    row = np.cumsum(starts) - 1
    pieces = np.full((int(starts.sum()), length), -1, np.int64)
    pieces[row, position % length] = histories.items
    pieces = pieces[(pieces >= 0).sum(1) > 1]
    rest = np.setdiff1d(np.flatnonzero(allowed), pieces)
    single = np.full((-(-len(rest) // length), length), -1, np.int64)
    single.ravel()[: len(rest)] = rest
    is_history = np.repeat([1, 0], [len(pieces), len(single)])
    return np.concatenate([is_history[:, None], np.concatenate([pieces, single])], axis=1)


def profile_weights(
    view: TrainView, users: IntArray, allowed: NDArray[np.bool_]
) -> tuple[IntArray, NDArray[np.float32]]:
    """Weights that average the allowed items of each user.

    Args:
        view: training view.
        users: int64 [U], rows of users.
        allowed: bool [n_items].

    Returns:
        Allowed items that any of ``users`` took, int64 [n]; each user's weights of them, float32 [U, n], sum 1 or 0.
    """
    taken = view.matrix[users][:, np.flatnonzero(allowed)]
    columns = np.unique(taken.indices)
    weights = taken[:, columns].toarray().astype(np.float32)
    return np.flatnonzero(allowed)[columns], weights / np.maximum(weights.sum(1, keepdims=True), 1)
