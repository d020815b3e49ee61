"""Entities of items: targets of relations, or the words of their own texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp

from palate.core.batch import IntArray
from palate.core.errors import ConfigError
from palate.features.vocabulary import SPECIAL

if TYPE_CHECKING:
    from palate.data.views import TrainView

EntitySource = Literal["auto", "relations", "words"]
MIN_ITEMS, MAX_SHARE = 2, 0.5


def entity_matrix(view: TrainView, source: EntitySource, owner: str) -> sp.csr_array:
    """Entities of each item: those that at least 2 items and at most half of the items have.

    Args:
        view: training view.
        source: ``relations`` takes the targets of relations that are not items; ``words`` the tokens of the items'
            texts; ``auto`` is relations where there are any, else words.
        owner: name of the system, for the error.

    Returns:
        bool [n_items, E].

    Raises:
        ConfigError: if fewer than 2 entities are left.
    """
    relations = [edges for edges in view.relations.edges.values() if edges.target_kind != "item" and len(edges)]
    if source == "relations" or (source == "auto" and relations):
        tables = [_table(edges.source, edges.target, view.n_items) for edges in relations]
    else:
        tables = [_words(view)] if "text" in view.features else []
    if tables:
        table = sp.csc_array(sp.hstack(tables))
        counts = np.diff(table.indptr)
        most = MAX_SHARE * max(len(np.unique(table.indices)), 1)
        table = sp.csr_array(table[:, (counts >= MIN_ITEMS) & (counts <= most)])
        if table.shape[1] > 1:
            return table
    raise ConfigError(
        f"{owner} found no entities of the items", key="entities", hint="give relations, or items with text"
    )


def _words(view: TrainView) -> sp.csr_array:
    text = view.features["text"]
    ids = np.where(text.present[:, None], text.values, 0).astype(np.int64)
    rows, columns = np.nonzero(ids >= len(SPECIAL))
    return _table(rows, ids[rows, columns], view.n_items)


def _table(rows: IntArray, columns: IntArray, n_items: int) -> sp.csr_array:
    width = int(columns.max(initial=-1)) + 1
    pairs = np.unique(np.stack([rows, columns], axis=1), axis=0)
    return sp.csr_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n_items, width))
