"""What was asked for and the item taken then: words that people typed or, where nobody typed, the item before it."""

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

Source = Literal["auto", "typed", "next"]


class Queries:
    """Queries as token ids, and the items they led to.

    Args:
        view: with texts of items, and ``asked`` where people searched.
        source: ``typed`` takes what they typed; ``next`` lets the text of an item ask for the one its user took after
            it; ``auto`` is typed where there is any, else next.

    Attributes:
        pairs: int64 [n, 2], query and item, once each. typed: where the queries come from; else they are rows of items.
    """

    def __init__(self, view: TrainView, source: Source, name: str) -> None:
        searches, asked = view.searches, view.query_features
        self.typed = source != "next" and searches is not None and asked is not None and bool(len(searches))
        if source == "typed" and not self.typed:
            raise ConfigError(f"{name} found nothing that people searched for", key="queries", hint="use queries=next")
        if self.typed and searches is not None and asked is not None:
            found, pairs = asked, np.stack([searches.query, searches.items], axis=1)
        else:
            found, pairs = view.features["text"], next_pairs(view, rng_for(view.seed, "next", name))
        self.values = found.values
        self.pairs: IntArray = np.unique(pairs[found.present[pairs[:, 0]]], axis=0).astype(np.int64)

    def between(self, asking: NDArray[np.bool_], given: NDArray[np.bool_]) -> IntArray:
        """Pairs whose item is in ``given`` bool [n_items] and whose query, where it is one, in ``asking``."""
        keep = given[self.pairs[:, 1]]
        found: IntArray = self.pairs[keep if self.typed else keep & asking[self.pairs[:, 0]]]
        return found

    def ids(self, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T] of queries."""
        return torch.from_numpy(np.asarray(self.values[rows.cpu().numpy()], np.int64)).to(rows.device)


def alike(queries: Tensor, items: Tensor) -> Tensor:
    """Bool [B, B]: rows of the same words [B, T] or the same item [B], which are not each other's negatives."""
    return (queries[:, None] == queries[None, :]).all(2) | (items[:, None] == items[None, :])
