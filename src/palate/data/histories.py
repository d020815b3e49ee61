"""Histories at a moment: the liked items of a user before a given time, for any number of questions at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.data.events import Events


@dataclass(frozen=True, eq=False)
class Histories:
    """Positive events by user, cut at the time of each question.

    Attributes:
        lists: the positive events of every user in time order, repeats included, with times and event types where
            known.
    """

    lists: RaggedArray

    @classmethod
    def build(cls, events: Events, n_users: int, rows: NDArray[np.bool_] | None = None) -> Histories:
        """Group the positive events by user.

        Args:
            events: in time order.
            n_users: number of users.
            rows: bool [n], the events that may be part of a history; all by default.
        """
        keep = events.label > 0 if rows is None else (events.label > 0) & rows
        at = np.flatnonzero(keep)
        times = None if events.time is None else events.time[at]
        order = np.argsort(events.user[at], kind="stable") if times is None else np.lexsort((times, events.user[at]))
        at = at[order]
        indptr = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(events.user[at], minlength=n_users), out=indptr[1:])
        times = None if times is None else times[order]
        return cls(RaggedArray(indptr, events.item[at], times, None if events.event is None else events.event[at]))

    def before(
        self,
        users: IntArray,
        times: IntArray | None = None,
        items: IntArray | None = None,
        max_length: int | None = None,
    ) -> RaggedArray:
        """The history of each question; strictly earlier events only, so that no event is in its own history.

        Args:
            users: int64 [n], -1 for users without a history.
            times: int64 [n], the time of each question. Needed where the events have times.
            items: int64 [n], the item of each question: where no time is known, it is left out of the history.
            max_length: keep only this many, the most recent ones.

        Returns:
            n lists with times and event types where known.
        """
        known = users >= 0
        owner = np.where(known, users, 0)
        start, stop = self.lists.indptr[owner], self.lists.indptr[owner + 1]
        if self.lists.times is not None and times is not None:
            stop = np.searchsorted(self._keys, owner * self._stride + self._rank(times))
            stop = np.maximum(stop, start)
        stop = np.where(known, stop, start)
        timeless = self.lists.times is None and items is not None
        if max_length is not None and not timeless:
            start = np.maximum(start, stop - max_length)
        index, owners = _ranges(start, stop)
        if timeless and items is not None:
            keep = self.lists.items[index] != items[owners]
            index, owners = index[keep], owners[keep]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(users)))]).astype(np.int64)
        if timeless and max_length is not None:
            late, _ = _ranges(np.maximum(indptr[:-1], indptr[1:] - max_length), indptr[1:])
            index = index[late]
            indptr = np.concatenate([[0], np.cumsum(np.minimum(np.diff(indptr), max_length))]).astype(np.int64)
        return RaggedArray(
            indptr,
            self.lists.items[index],
            None if self.lists.times is None else self.lists.times[index],
            None if self.lists.events is None else self.lists.events[index],
        )

    @cached_property
    def _distinct(self) -> IntArray:
        times = self.lists.times
        return np.unique(times) if times is not None else np.zeros(0, np.int64)

    @cached_property
    def _stride(self) -> int:
        return len(self._distinct) + 1

    @cached_property
    def _keys(self) -> IntArray:
        """(user, rank of time) of every entry as one ascending number."""
        times = self.lists.times
        assert times is not None
        return self.lists.owners() * self._stride + np.searchsorted(self._distinct, times)

    def _rank(self, times: IntArray) -> IntArray:
        return np.searchsorted(self._distinct, times)


def _ranges(start: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
    """Row numbers of all ``start .. stop - 1``, one after the other, and the range that each belongs to."""
    lengths = stop - start
    owners = np.repeat(np.arange(len(start)), lengths)
    ends = np.cumsum(lengths)
    index = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(start - (ends - lengths), lengths)
    return index, owners
