"""Parts of events: a split is drawn on positives and carried over to every event of the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.data.events import UNKNOWN, Events
from palate.data.splits import (
    DROPPED,
    TEST,
    TRAIN,
    VALID,
    Positives,
    Split,
    SplitSpec,
    cold_items,
    cold_users,
    temporal_cuts,
    timed,
)

BoolArray = NDArray[np.bool_]
Parts = NDArray[np.int8]
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class EventSplit:
    """The part of each event.

    Attributes:
        part: int8 [n events].
        positive: bool [n events], the event that each positive of the data set stands for: the first by time that
            counts of its (user, item) pair. ``events.item[positive]`` are the positives, in their order.
        given: bool [n events], events of held-out users that are handed over as history and never asked
            (``user_cold``); None in other splits.
        chronological: whether every part begins after the one before has ended (for each user in
            ``leave_one_out``): then all earlier events may be known when a question is asked.
    """

    part: Parts
    positive: BoolArray
    given: BoolArray | None
    chronological: bool


def split_events(
    spec: SplitSpec, split: Split, positives: Positives, events: Events, accepted: BoolArray, part: Parts | None
) -> EventSplit:
    """Assign every event to a part such that each positive keeps the part that ``split`` gave it.

    ========================  ==========================================================================================
    split                     part of an event
    ========================  ==========================================================================================
    ``given``                 its own
    ``temporal``              by its time, with the cuts of the positives
    ``item_cold``             by its item
    ``user_cold``             by its user
    ``leave_one_out``         test from the time of the user's test positive on, valid from that of the valid one on,
                              else train; never an earlier part than its (user, item) pair's positive
    ``random``                that of the pair's positive; an event of an impression, if its pair has no positive, goes
                              with the latest part of the impression's positives; without any positive the impression,
                              or where there is none the pair, is drawn by a hash of the seed
    ========================  ==========================================================================================

    Args:
        spec: how the positives were split.
        split: the outcome for them.
        positives: the positives.
        events: all events, in time order.
        accepted: bool [n events], which of them count as positive.
        part: int8 [n events], the given part of each event, for split ``given``.

    Returns:
        The part of each event.
    """
    positive = first_of_pair(events, accepted, positives.n_items)
    of_pair = _part_of_pair(split, positives, events)
    given = None
    if spec.kind == "given" and part is not None:
        out = part.copy()
    elif spec.kind == "temporal":
        out = _by_time(spec, positives, events)
    elif spec.kind == "item_cold":
        valid, test = cold_items(spec, positives.n_items)
        out = np.select([test[events.item], valid[events.item]], [TEST, VALID], TRAIN).astype(np.int8)
    elif spec.kind == "user_cold":
        out = cold_users(spec, positives.n_users)[events.user]
        out = out if events.time is None else np.where(out == TRAIN, out, _without_time(out, events)).astype(np.int8)
        given = _given_history(spec, split, positives, events, of_pair) & (out > TRAIN)
    elif spec.kind == "leave_one_out":
        out = _without_time(np.maximum(_after_last(split, positives, events), of_pair), events)
    else:
        out = _drawn(spec, positives, events, of_pair)
    out[positive] = split.part
    ordered = spec.kind == "leave_one_out" or (spec.kind in ("temporal", "given") and _ordered(events, out))
    return EventSplit(out, positive, given, ordered)


def first_of_pair(events: Events, accepted: BoolArray, n_items: int) -> BoolArray:
    """bool [n events]: the first accepted event of each (user, item) pair.

    Args:
        events: in time order.
        accepted: bool [n events], which of them count as positive.
        n_items: number of items.
    """
    rows = np.flatnonzero(accepted)
    _, first = np.unique(events.user[rows] * n_items + events.item[rows], return_index=True)
    out = np.zeros(len(events), bool)
    out[rows[first]] = True
    return out


def _part_of_pair(split: Split, positives: Positives, events: Events) -> Parts:
    """The part of the positive of each event's (user, item) pair, -1 where the pair has none."""
    at = _positive_of(positives, events)
    return (
        np.where(at < 0, UNKNOWN, split.part[at]).astype(np.int8)
        if len(positives)
        else np.full(len(events), -1, np.int8)
    )


def _positive_of(positives: Positives, events: Events) -> IntArray:
    """int64 [n events]: the positive of each event's pair, -1 where there is none."""
    keys = positives.users * positives.n_items + positives.items
    order = np.argsort(keys)
    wanted = events.user * positives.n_items + events.item
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), max(len(keys) - 1, 0))
    if not len(keys):
        return np.full(len(wanted), UNKNOWN, np.int64)
    return np.where(keys[order[at]] == wanted, order[at], UNKNOWN)


def _by_time(spec: SplitSpec, positives: Positives, events: Events) -> Parts:
    assert events.time is not None
    cuts = temporal_cuts(spec, positives)
    out = np.select([events.time < cuts[0], events.time < cuts[1]], [TRAIN, VALID], TEST).astype(np.int8)
    return _without_time(out, events)


def _after_last(split: Split, positives: Positives, events: Events) -> Parts:
    assert events.time is not None and positives.times is not None
    starts = np.full((2, positives.n_users), np.iinfo(np.int64).max)
    for row, part in enumerate((VALID, TEST)):
        of_part = split.part == part
        starts[row, positives.users[of_part]] = positives.times[of_part]
    after = [events.time >= starts[1][events.user], events.time >= starts[0][events.user]]
    return np.select(after, [TEST, VALID], TRAIN).astype(np.int8)


def _without_time(out: Parts, events: Events) -> Parts:
    """Parts with the events whose time is not known left out."""
    return np.where(timed(events.time), out, DROPPED).astype(np.int8)


def _drawn(spec: SplitSpec, positives: Positives, events: Events, of_pair: Parts) -> Parts:
    out = of_pair.copy()
    loose = out < 0
    pairs = events.user * positives.n_items + events.item
    draw = _uniform(spec.seed, 0, pairs)
    if events.impression is not None and len(events):
        shown = events.impression >= 0
        latest = np.full(int(events.impression.max()) + 1, UNKNOWN, np.int8)
        np.maximum.at(latest, events.impression[shown], of_pair[shown])
        out[loose & shown] = latest[events.impression[loose & shown]]
        draw = np.where(shown, _uniform(spec.seed, 1, events.impression), draw)
    free = out < 0
    drawn = np.where(draw < spec.test, TEST, np.where(draw < spec.test + spec.valid, VALID, TRAIN))
    out[free] = drawn[free]
    return out


def _given_history(spec: SplitSpec, split: Split, positives: Positives, events: Events, of_pair: Parts) -> BoolArray:
    """Events that are known of a held-out user: up to the last positive handed over; by pair where no time is known."""
    assert split.history is not None
    at = _positive_of(positives, events)
    of_history = (at >= 0) & split.history[np.maximum(at, 0)] if len(positives) else np.zeros(len(events), bool)
    if events.time is None or positives.times is None:
        pairs = events.user * positives.n_items + events.item
        return np.where(of_pair >= 0, of_history, _uniform(spec.seed, 0, pairs) < 0.5)
    last = np.full(positives.n_users, np.iinfo(np.int64).min)
    np.maximum.at(last, positives.users[split.history], positives.times[split.history])
    answers = (at >= 0) & ~of_history
    return of_history | (~answers & (events.time <= last[events.user]))


def _ordered(events: Events, part: Parts) -> bool:
    """Whether the parts follow one another in time."""
    if events.time is None:
        return False
    ends = np.iinfo(np.int64).min
    for code in (TRAIN, VALID, TEST):
        times = events.time[part == code]
        if len(times):
            if int(times.min()) < ends:
                return False
            ends = int(times.max())
    return True


def _uniform(seed: int, stream: int, keys: IntArray) -> NDArray[np.float64]:
    """A number in [0, 1) for each key: splitmix64 of the key and the seed, the same on every machine."""
    with np.errstate(over="ignore"):
        mixed = keys.astype(np.uint64) + _INCREMENT * np.uint64(2 * seed + stream + 1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MULTIPLIERS[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MULTIPLIERS[1]
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
