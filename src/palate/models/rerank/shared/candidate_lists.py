"""What a reranker knows of the lists that it is to reorder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, UserBatch
from palate.features.item_groups import ItemGroups


@dataclass(frozen=True, eq=False)
class CandidateLists:
    """Candidates of a first stage.

    Attributes:
        ids: int64 [lists, n], item rows; 0 at places without a candidate.
        known: bool [lists, n], False at places without a candidate.
        scores: float32 [lists, n], of the first stage; 0 at places without a candidate.
        users: whose lists they are; None where nobody is known.
        item_vectors: float32 [n_items, d], zeros for items without one; None for a reranker that compares no items.
        groups: attribute column -> values of each item.
    """

    ids: IntArray
    known: NDArray[np.bool_]
    scores: NDArray[np.float32]
    users: UserBatch | None = None
    item_vectors: NDArray[np.float32] | None = None
    groups: Mapping[str, ItemGroups] = field(default_factory=dict)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 [lists, n, d], vectors of the candidates."""
        assert self.item_vectors is not None
        return self.item_vectors[self.ids] * self.known[:, :, None]

    def recent(self, count: int) -> NDArray[np.float32] | None:
        """Vectors of the newest items of the users' histories.

        Args:
            count: of items at most.

        Returns:
            float32 [lists, m, d], oldest first, zeros in front of shorter histories; None where there are no histories.
        """
        if self.users is None or not count or not len(self.users.history.items):
            return None
        assert self.item_vectors is not None
        history = self.users.history
        places = history.indptr[1:, None] - np.arange(min(count, int(history.lengths.max())), 0, -1)
        inside = places >= history.indptr[:-1, None]
        newest: NDArray[np.float32] = self.item_vectors[history.items[np.maximum(places, 0)]] * inside[..., None]
        return newest
