"""What an item is, in single names: the entities that relations tie it to, or the words of its own text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp

from palate.core.batch import IntArray
from palate.core.errors import ConfigError
from palate.features.vocabulary import SPECIAL

if TYPE_CHECKING:
    from palate.data.views import TrainView

Names = Literal["auto", "relations", "words"]
FEWEST, MOST = 2, 0.5


def entities_of(view: TrainView, source: Names, name: str) -> sp.csr_array:
    """Which names an item has: bool [n_items, E], every name that of at least 2 items and at most half of them.

    Args:
        source: ``relations`` takes targets that are no items; ``words`` the pieces of the items' texts; ``auto`` is
            relations where there are any, else words.

    Raises:
        ConfigError: when the data have no such names.
    """
    told = [edges for edges in view.relations.edges.values() if edges.target_kind != "item" and len(edges)]
    if source == "relations" or (source == "auto" and told):
        tables = [_table(edges.source, edges.target, view.n_items) for edges in told]
    else:
        tables = [_words(view)] if "text" in view.features else []
    if tables:
        table = sp.csc_array(sp.hstack(tables))
        counts = np.diff(table.indptr)
        table = sp.csr_array(table[:, (counts >= FEWEST) & (counts <= MOST * max(len(np.unique(table.indices)), 1))])
        if table.shape[1] > 1:
            return table
    raise ConfigError(f"{name} found no names for what items are", key="entities", hint="relations, or items with text")


def _words(view: TrainView) -> sp.csr_array:
    text = view.features["text"]
    ids = np.where(text.present[:, None], text.values, 0).astype(np.int64)
    rows, columns = np.nonzero(ids >= len(SPECIAL))
    return _table(rows, ids[rows, columns], view.n_items)


def _table(rows: IntArray, columns: IntArray, n_items: int) -> sp.csr_array:
    width = int(columns.max(initial=-1)) + 1
    pairs = np.unique(np.stack([rows, columns], axis=1), axis=0)
    return sp.csr_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n_items, width))
