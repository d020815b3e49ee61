"""Counters: smoothed shares of positive labels and how often they were seen, of users, items and attribute values.

Causal: a counter of an event is made of what was known strictly before it, so that its own label never enters it.
Where nothing has a time, events are in folds, and a counter is made of the other folds.

    share = (positives + weight * parent) / (events + weight)

The parent of a user, an item or a value is the share of all events; that of (user, value), or of what is limited to the
newest events, is the share of the whole user or item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.data.events import Events
from palate.data.schema import FIRST

FloatArray = NDArray[np.float64]
Tables = Mapping[str, NDArray[Any]]
Owner = Literal["user", "item", "value", "user_value"]
FOLDS = 5
HOUR = 3600
COLUMNS = 2
"""Of each counter: its share, as log-odds against its parent's, and log(1 + events)."""


@dataclass(frozen=True)
class Counter:
    """What is counted.

    Attributes:
        owner: users, items, values of an attribute of items, or values for each user.
        field: the attribute, as the schema names it; empty for users and items.
        last: count this many events at most, the newest; None counts all.
        span: count events of so many seconds before the question; None counts all.
    """

    owner: Owner
    field: str = ""
    last: int | None = None
    span: int | None = None

    @property
    def name(self) -> str:
        """``user``, ``item``, ``item.genre``, ``user x item.genre``, and what it is limited to."""
        name = {"user": "user", "item": "item", "value": self.field}.get(self.owner, f"user x {self.field}")
        limit = f", last {self.last}" if self.last else f", last {self.span} seconds" if self.span else ""
        return f"{name}{limit}"

    @property
    def windowed(self) -> bool:
        """Whether only the newest events are counted."""
        return self.last is not None or self.span is not None


WINDOWS = (
    Counter("user", last=3), Counter("user", last=10), Counter("user", last=30), Counter("user", span=HOUR),
    Counter("item", last=10),
)  # fmt: skip
"""What users and items did of late: moods, and items that rise or fall."""


@dataclass(frozen=True, eq=False)
class Known:
    """Events whose labels are known, sorted for one counter.

    Attributes:
        keys: int64 [m], ascending; a key, then the rank of the time.
        cumulative: float64 [m + 1], labels of the first events.
        stride: keys of one entity lie so far apart.
        times: int64, the distinct times, ascending; empty without times.
    """

    keys: IntArray
    cumulative: FloatArray
    stride: int
    times: IntArray

    @classmethod
    def of(cls, keys: IntArray, labels: FloatArray, times: IntArray | None) -> Known:
        """Sort events by key and time; O(m log m).

        Args:
            keys: int64 [m].
            labels: float [m].
            times: int64 [m]; None where they have none.
        """
        moments = np.unique(times) if times is not None else np.zeros(0, np.int64)
        ranks = 0 if times is None else np.searchsorted(moments, times)
        stride = len(moments) + 1
        ranked = keys * stride + ranks
        order = np.argsort(ranked, kind="stable")
        return cls(ranked[order], np.concatenate([[0.0], np.cumsum(labels[order], dtype=float)]), stride, moments)

    def count(
        self, keys: IntArray, times: IntArray | None, last: int | None = None, span: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Events and positives of each key strictly before a time, float64 [n] each; O(n log m).

        Args:
            keys: int64 [n].
            times: int64 [n]; None counts all, as after the last event.
            last: count only the newest.
            span: count only those of so many seconds.
        """
        end = len(self.times)
        until = np.full(len(keys), end) if times is None else np.searchsorted(self.times, times)
        since: Any = 0
        if span is not None:
            now = (self.times[-1] + 1 if end else 0) if times is None else times
            since = np.searchsorted(self.times, now - span)
        start = np.searchsorted(self.keys, keys * self.stride + since)
        stop = np.searchsorted(self.keys, keys * self.stride + until)
        if last is not None:
            start = np.maximum(start, stop - last)
        return (stop - start).astype(float), self.cumulative[stop] - self.cumulative[start]


@dataclass(frozen=True, eq=False)
class Asked:
    """Pairs of users and items of which counters are wanted.

    Attributes:
        users: int64 [n], -1 for unknown ones.
        items: int64 [n].
        times: int64 [n]; None asks with all that is known.
    """

    users: IntArray
    items: IntArray
    times: IntArray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: IntArray) -> Asked:
        """Some of them.

        Args:
            rows: int64 [m].
        """
        return Asked(self.users[rows], self.items[rows], None if self.times is None else self.times[rows])


class Counters:
    """Counters of users, items, and the values of items' attributes.

    Args:
        fields: names of the attributes counted.
        windows: count the newest events of users and items also by themselves; not for events without times.
        weight: events that the parent's share counts for.
        window_weight: the same for windows.
    """

    def __init__(
        self, fields: Sequence[str], windows: bool = True, weight: float = 10.0, window_weight: float = 2.0
    ) -> None:
        self.weight, self.window_weight = weight, window_weight
        each: tuple[Owner, ...] = ("value", "user_value")
        self.counters = [Counter("user"), Counter("item"), *(Counter(owner, one) for one in fields for owner in each)]
        self.counters += WINDOWS if windows else ()

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [f"{one.name}: {column}" for one in self.counters for column in ("share", "events")]

    def __len__(self) -> int:
        return COLUMNS * len(self.counters)

    def of_events(self, events: Events, tables: Tables) -> NDArray[np.float32]:
        """Counters of events whose own labels are known, without these.

        Args:
            events: n events; those of one time know nothing of each other.
            tables: item field -> int64 ids [items] or [items, width].

        Returns:
            float32 [n, columns].
        """
        asked = Asked(events.user, events.item, events.time)
        if events.time is not None:
            return self.before(events, asked, tables)
        out = np.zeros((len(events), len(self)), np.float32)
        groups = events.user if events.impression is None else np.where(events.impression < 0, 0, events.impression)
        # items shown together stay together: each would tell of the others
        folds = groups % FOLDS if events.impression is not None else (groups + events.item * 40503) % FOLDS
        for fold in range(FOLDS):
            rows = np.flatnonzero(folds == fold)
            if len(rows):
                out[rows] = self.before(events.take(folds != fold), asked.take(rows), tables)
        return out

    def before(self, known: Events, asked: Asked, tables: Tables) -> NDArray[np.float32]:
        """Counters of what was known strictly before each question; O((m + n) width log m) for each counter.

        Args:
            known: m events with their labels.
            asked: n questions.
            tables: item field -> int64 ids [items] or [items, width].

        Returns:
            float32 [n, columns].
        """
        return self.over(known, tables)(asked)

    def over(self, known: Events, tables: Tables) -> CountedEvents:
        """Events made ready to be counted, for many questions.

        Args:
            known: m events with their labels.
            tables: item field -> int64 ids [items] or [items, width].
        """
        return CountedEvents(self, known, tables)


class CountedEvents:
    """Labelled events, sorted for each counter; memory O(m width) for each counter.

    Args:
        counters: what is counted.
        known: m events with their labels.
        tables: item field -> int64 ids [items] or [items, width].
    """

    def __init__(self, counters: Counters, known: Events, tables: Tables) -> None:
        self.counters, self.tables, self.timed = counters, tables, known.time is not None
        labels = (known.label > 0).astype(float)
        self.everything = Known.of(np.zeros(len(labels), np.int64), labels, known.time)
        self.sorted: dict[tuple[str, str], Known] = {}
        for counter in counters.counters:
            if (counter.owner, counter.field) not in self.sorted:
                rows, keys = self._keys(counter, known.user, known.item)
                times = None if known.time is None else known.time[rows]
                self.sorted[counter.owner, counter.field] = Known.of(keys, labels[rows], times)

    def __call__(self, asked: Asked) -> NDArray[np.float32]:
        """Counters of what was known strictly before each question, float32 [n, columns]; O(n width log m) each.

        Args:
            asked: n questions.
        """
        c, times = self.counters, asked.times if self.timed else None
        # the share of all events is of those before the question as well, or labels of later ones would enter it
        seen, liked = self.everything.count(np.zeros(len(asked), np.int64), times)
        overall = (liked + 1) / (seen + 2)
        out = np.zeros((len(asked), len(c)), np.float32)
        whole: dict[str, FloatArray] = {}
        for place, counter in enumerate(c.counters):
            wanted, keys = self._keys(counter, asked.users, asked.items)
            when = None if times is None else times[wanted]
            found = self.sorted[counter.owner, counter.field].count(keys, when, counter.last, counter.span)
            n, positive = (np.bincount(wanted, weights=one, minlength=len(asked)) for one in found)
            of = "user" if counter.owner == "user_value" else counter.owner if counter.windowed else ""
            parent, weight = whole.get(of, overall), c.window_weight if counter.windowed else c.weight
            share = (positive + weight * parent) / (n + weight)
            whole.setdefault(counter.name, share)
            out[:, COLUMNS * place] = _log_odds(share) - _log_odds(parent)
            out[:, COLUMNS * place + 1] = np.log1p(n)
        return out

    def _keys(self, counter: Counter, users: IntArray, items: IntArray) -> tuple[IntArray, IntArray]:
        """Rows int64 [e] and keys int64 [e]: one entry a row, or one for each of its values."""
        if counter.owner in ("user", "item"):
            keys = users if counter.owner == "user" else items
            rows = np.flatnonzero(keys >= 0)
            return rows, keys[rows]
        table = self.tables[counter.field]
        values = table.reshape(len(table), -1)[items]
        rows, column = np.nonzero(values >= FIRST)
        keys = values[rows, column].astype(np.int64)
        if counter.owner == "value":
            return rows, keys
        there = users[rows] >= 0
        rows, keys = rows[there], keys[there]
        return rows, users[rows] * (int(table.max(initial=0)) + 1) + keys


def _log_odds(share: FloatArray) -> FloatArray:
    return np.asarray(np.log(share / (1 - share)))
