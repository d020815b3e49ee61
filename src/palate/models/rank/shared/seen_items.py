"""Items of a batch, each read once, and the places of candidates and histories among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from palate.core.batch import ImpressionBatch


@dataclass(frozen=True, eq=False)
class SeenItems:
    """Items of a batch without repetition.

    Attributes:
        rows: int64 [U], rows of items; -1 among them where histories are padded.
        candidate: int64 [n], places of the events' items in ``rows``.
        past: int64 [G, L], places of the histories' items in ``rows``.
        taken: bool [G, L], False at padding, which is on the left.
        groups: int64 [n], the history of each event.
    """

    rows: Tensor
    candidate: Tensor
    past: Tensor
    taken: Tensor
    groups: Tensor

    @classmethod
    def of(cls, batch: ImpressionBatch, longest: int) -> Self:
        """Collect the items of a batch.

        Args:
            batch: n events of G groups.
            longest: newest items that a history keeps, L.
        """
        history = batch.padded_history(longest)
        rows, place = torch.unique(torch.cat([batch.items, history.flatten()]), return_inverse=True)
        n = len(batch)
        return cls(rows, place[:n], place[n:].view(history.shape), history >= 0, batch.groups)

    @property
    def there(self) -> Tensor:
        """The history of each event, bool [n, L], False at padding."""
        return self.taken[self.groups]

    def of_candidates(self, values: Tensor) -> Tensor:
        """Values of the events' items, [n, ...].

        Args:
            values: [U, ...].
        """
        return values.index_select(0, self.candidate)

    def of_histories(self, values: Tensor) -> Tensor:
        """Values of the items of each group's history, [G, L, ...].

        Args:
            values: [U, ...].
        """
        return values.index_select(0, self.past.flatten()).view(*self.past.shape, *values.shape[1:])

    def of_events(self, values: Tensor) -> Tensor:
        """Values of the items of each event's history, [n, L, ...].

        Args:
            values: [U, ...].
        """
        return self.of_histories(values).index_select(0, self.groups)
