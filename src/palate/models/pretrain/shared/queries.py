"""Pairs of a query and the item taken for it: typed words, or, without searches, the text of the previous item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.models.pretrain.shared.interactions import next_pairs

if TYPE_CHECKING:
    from palate.data.views import TrainView

QuerySource = Literal["auto", "typed", "next"]


class Queries:
    """Queries as token ids, and the items taken for them.

    Args:
        view: training view with texts of items, and ``query_features`` where users searched.
        source: ``typed`` takes the words that users typed; ``next`` takes the text of an item as a query for the one
            its user took next; ``auto`` is typed where there are searches, else next.
        owner: name of the system.
        seed: seed of the run; with ``owner`` it seeds the order of histories without times.

    Attributes:
        pairs: int64 [n, 2], distinct pairs of query and item.
        typed: whether queries are rows of searches; else they are rows of items.
        values: token ids of all queries.

    Raises:
        ConfigError: if ``source`` is ``typed`` and there are no searches.
    """

    def __init__(self, view: TrainView, source: QuerySource, owner: str, seed: int) -> None:
        searches, features = view.searches, view.query_features
        self.typed = source != "next" and searches is not None and features is not None and bool(len(searches))
        if source == "typed" and not self.typed:
            raise ConfigError(f"{owner} found no searches", key="queries", hint="use queries=next")
        if self.typed and searches is not None and features is not None:
            texts, pairs = features, np.stack([searches.query, searches.items], axis=1)
        else:
            texts, pairs = view.features["text"], next_pairs(view, rng_for(seed, "next", owner))
        self.values = texts.values
        self.pairs: IntArray = np.unique(pairs[texts.present[pairs[:, 0]]], axis=0).astype(np.int64)

    def pairs_between(self, query_items: NDArray[np.bool_], items: NDArray[np.bool_]) -> IntArray:
        """Pairs whose query, if it is an item, and whose item are allowed.

        Args:
            query_items: bool [n_items], items that may be queries.
            items: bool [n_items], items that may be taken.

        Returns:
            (query, item) int64 [n, 2].
        """
        mask = items[self.pairs[:, 1]]
        pairs: IntArray = self.pairs[mask if self.typed else mask & query_items[self.pairs[:, 0]]]
        return pairs

    def ids(self, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T] of queries."""
        return torch.from_numpy(np.asarray(self.values[rows.cpu().numpy()], np.int64)).to(rows.device)


def false_negatives(queries: Tensor, items: Tensor) -> Tensor:
    """Mark rows of a batch that are not each other's negatives: the same words, or the same item.

    Args:
        queries: int64 [B, T], token ids.
        items: int64 [B].

    Returns:
        bool [B, B]; a row with itself is marked too.
    """
    return (queries[:, None] == queries[None, :]).all(2) | (items[:, None] == items[None, :])
