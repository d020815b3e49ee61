"""The user of a request: history, new events and hidden items, in rows of a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

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
        has_new_events: whether events changed the history since the run was made.
        hidden: int64 [m], rows of items that the user hid.
        liked: int64 [p], rows of the history that the user liked by an event, oldest first.
        clicked: int64 [c], rows of the history of which nothing but clicks is known.
        is_complete: whether events could be read; False while the database does not answer.
    """

    user: int
    history: IntArray
    has_new_events: bool
    hidden: IntArray
    liked: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    clicked: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    is_complete: bool = True

    def without(self, row: int) -> UserState:
        """The state as if the user had not taken an item.

        Args:
            row: row of the item.
        """
        if row not in self.history:
            return self
        return replace(self, history=self.history[self.history != row], has_new_events=True)

    @property
    def is_known(self) -> bool:
        """Whether anything is known of the user's taste; a row without positives says nothing."""
        return len(self.history) > 0


def known_user(snapshot: ModelSnapshot, user: int, events: Iterable[Event], is_complete: bool = True) -> UserState:
    """The state of a user with an id: the run's history, continued by events.

    Clicked and liked items are taken, unless an ``unlike`` followed. A hidden item is not part of the history until it
    is shown again by ``unhide``, by a click on it or by a like of it.

    Args:
        snapshot: the snapshot that gives the rows.
        user: row in the user table, -1 for a user whom the run does not know.
        events: the user's events since the run was made, oldest first.
        is_complete: whether events could be read.
    """
    before = snapshot.deployment.seen[user].tolist() if user >= 0 else []
    taken, hidden = dict.fromkeys(before), dict[int, None]()
    liked, clicked = dict[int, None](), dict[int, None]()
    for event in events:
        row = snapshot.row(event.item)
        if row < 0:
            continue
        if event.kind == "hide":
            hidden.pop(row, None)
            hidden[row] = None
            continue
        if event.kind == "unlike":
            for rows in (taken, liked, clicked):
                rows.pop(row, None)
            continue
        hidden.pop(row, None)
        if event.kind == "unhide":
            continue
        if event.kind == "like":
            liked.pop(row, None)
            liked[row] = None
            clicked.pop(row, None)
        elif row not in taken:
            clicked[row] = None
        taken.pop(row, None)
        taken[row] = None
    shown = [row for row in taken if row not in hidden]
    return UserState(
        user,
        np.array(shown, np.int64),
        shown != before,
        _rows(hidden),
        np.array([row for row in liked if row not in hidden], np.int64),
        np.array([row for row in clicked if row not in hidden], np.int64),
        is_complete,
    )


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
