"""The user of a request: history, new events and hidden items, in rows of a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from palate.core.batch import IntArray
from palate.serving.events import Event
from palate.serving.snapshot import ModelSnapshot


@dataclass(frozen=True)
class UserState:
    """A user in rows of a snapshot.

    Attributes:
        user: row in the user table, -1 for a user whom the run does not know.
        history: int64 [n], rows of items taken, oldest first, each once at its latest.
        has_new_events: whether an event followed the run.
        hidden: int64 [m], rows of items that the user hid.
    """

    user: int
    history: IntArray
    has_new_events: bool
    hidden: IntArray


def known_user(snapshot: ModelSnapshot, user: int, events: Iterable[Event]) -> UserState:
    """The state of a user with an id: the run's history, continued by events.

    Clicked and liked items are taken; a click on a hidden item, or a like of it, shows it again.

    Args:
        snapshot: the snapshot that gives the rows.
        user: row in the user table, -1 for a user whom the run does not know.
        events: the user's events since the run was made, oldest first.
    """
    taken = dict.fromkeys(snapshot.deployment.seen[user].tolist() if user >= 0 else ())
    hidden: dict[int, None] = {}
    has_new_events = False
    for event in events:
        row = snapshot.row(event.item)
        if row < 0:
            continue
        has_new_events = True
        taken.pop(row, None)
        hidden.pop(row, None)
        (hidden if event.kind == "hide" else taken)[row] = None
    return UserState(user, _rows(taken), has_new_events, _rows(hidden))


def anonymous_user(snapshot: ModelSnapshot, history: Iterable[str]) -> UserState:
    """The state of a user of whom only a history is known.

    Args:
        snapshot: the snapshot that gives the rows.
        history: item ids, oldest first; unknown ones are left out.
    """
    rows = dict.fromkeys(snapshot.row(item) for item in history)
    rows.pop(-1, None)
    return UserState(-1, _rows(rows), True, np.zeros(0, np.int64))


def _rows(rows: dict[int, None]) -> IntArray:
    return np.fromiter(rows, np.int64, len(rows))
