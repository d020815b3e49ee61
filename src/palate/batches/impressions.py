"""Impressions: labelled events with their context, the user's history at that moment, and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.batches.registry import batch_kinds
from palate.core.batch import ImpressionBatch, IntArray, RaggedArray
from palate.core.errors import DataError
from palate.data.events import Events
from palate.data.schema import Encoded, Schema
from palate.data.views import TrainView


@batch_kinds.register("impressions")
class ImpressionBatches:
    """Rows are events with their labels, or clicks each with items of the same impression that were not clicked.

    Histories hold the items the user liked strictly before the event.

    Args:
        view: holds the events.
        schema: context fields to encode; other fields are looked up by the model.
        longest: newest items kept of a history.
        negatives: 0 makes every event a row of its own; else a row is a click followed by this many events of its
            impression without a click, repeated where there are fewer (Wu et al., EMNLP 2019).
        counters: float32 [n events, columns] of what was known before each event; None without counters.

    Raises:
        DataError: when the training part has no events, or no impression with and without a click.
    """

    sequential = False

    def __init__(
        self,
        view: TrainView,
        schema: Schema,
        longest: int = 50,
        negatives: int = 0,
        counters: NDArray[np.float32] | None = None,
    ) -> None:
        self.events, self.histories, self.longest, self.negatives = view.events, view.histories, longest, negatives
        if not len(self.events):
            raise DataError("the training part has no events", hint="ranking learns from labelled events")
        known = np.zeros(view.n_users, bool)
        known[np.unique(self.events.user)] = True
        self.users = np.where(known[self.events.user], self.events.user, -1)
        self.context, self.counters = schema.encode_context(self.events), counters
        self.rows = np.flatnonzero(self.events.shown)
        if negatives:
            self._group()

    def _group(self) -> None:
        groups = self.events.user if self.events.impression is None else self.events.impression
        clicked = self.events.label > 0
        order = np.flatnonzero(~clicked & (groups >= 0))
        self.pool = order[np.argsort(groups[order], kind="stable")]
        starts = np.searchsorted(groups[self.pool], groups)
        stops = np.searchsorted(groups[self.pool], groups, side="right")
        self.starts, self.counts = starts, stops - starts
        self.rows = np.flatnonzero(clicked & (groups >= 0) & (self.counts > 0))
        if not len(self.rows):
            raise DataError(
                "no impression holds both a click and an item without one", hint="learn from events: negatives=0"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def collate(self, rows: IntArray, rng: np.random.Generator) -> ImpressionBatch:
        """Events with context and histories.

        Args:
            rows: int64 [B], rows of this source.
            rng: draws events without a click.
        """
        clicks = self.rows[rows]
        if not self.negatives:
            return self._batch(clicks, clicks, np.arange(len(clicks)))
        # neighbours from a random start: uniform, and none twice as long as there are enough
        first = (rng.random(len(clicks)) * self.counts[clicks]).astype(np.int64)
        picks = (first[:, None] + np.arange(self.negatives)) % self.counts[clicks, None]
        others = self.pool[self.starts[clicks, None] + picks]
        events = np.concatenate([clicks[:, None], others], axis=1).ravel()
        return self._batch(events, clicks, np.repeat(np.arange(len(clicks)), self.negatives + 1))

    def _batch(self, events: IntArray, owners: IntArray, groups: IntArray) -> ImpressionBatch:
        time = None if self.events.time is None else self.events.time[owners]
        history = self.histories.before(self.events.user[owners], time, self.events.item[owners], self.longest)
        context = {name: values[events] for name, values in self.context.items()}
        counters = None if self.counters is None else self.counters[events]
        return impression_batch(self.events.take(events), self.users[events], groups, history, context, counters)


def impression_batch(
    events: Events,
    users: IntArray,
    groups: IntArray,
    history: RaggedArray,
    context: Encoded,
    counters: NDArray[np.float32] | None = None,
) -> ImpressionBatch:
    """Events as a batch of tensors.

    Args:
        events: N events.
        users: int64 [N], rows of the user table, -1 for unknown users.
        groups: int64 [N], the history of each event.
        history: one list a group, items oldest first.
        context: encoded context fields, N rows each.
        counters: float32 [N, columns]; None without counters.
    """
    return ImpressionBatch(
        _tensor(users),
        _tensor(events.item),
        _tensor(events.label),
        _tensor(groups),
        _tensor(history.indptr),
        _tensor(history.items),
        {name: _tensor(values) for name, values in context.items()},
        None if events.time is None else _tensor(events.time),
        None if counters is None else _tensor(counters),
        None if history.times is None else _tensor(history.times),
    )


def _tensor(values: NDArray[Any]) -> Tensor:
    # columns of a table may be read-only, which tensors cannot be
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))
