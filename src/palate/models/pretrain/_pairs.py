"""Items that belong together, as pairs: neighbours by who took them, the next item of a history, given relations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.metrics.ragged import ragged_topk

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
        found, _ = ragged_topk(cosines.indptr, cosines.indices, cosines.data, k)
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
