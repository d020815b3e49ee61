"""Who asks: a row of the run, what was taken before and since, what is hidden."""

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
        user: row in the user table, -1 if the run does not know them. history: items taken, oldest first, each once, at
            its latest. has_new_events: something happened since the run. hidden: items they do not want to see.
    """

    user: int
    history: IntArray
    has_new_events: bool
    hidden: IntArray


def known_user(snapshot: ModelSnapshot, user: int, events: Iterable[Event]) -> UserState:
    """From the run's history and what came after it, in order: clicks and likes are taken, what is hidden is not.

    A click on, or a like of, what was hidden before shows it again.
    """
    taken = dict.fromkeys(snapshot.deployment.seen[user].tolist() if user >= 0 else ())
    hidden: dict[int, None] = {}
    later = False
    for event in events:
        row = snapshot.row(event.item)
        if row < 0:
            continue
        later = True
        taken.pop(row, None)
        hidden.pop(row, None)
        (hidden if event.kind == "hide" else taken)[row] = None
    return UserState(user, np.fromiter(taken, np.int64, len(taken)), later, np.fromiter(hidden, np.int64, len(hidden)))


def anonymous_user(snapshot: ModelSnapshot, liked: Iterable[str]) -> UserState:
    """Somebody of whom only some liked items are known."""
    rows = dict.fromkeys(snapshot.row(item) for item in liked)
    rows.pop(-1, None)
    return UserState(-1, np.fromiter(rows, np.int64, len(rows)), True, np.zeros(0, np.int64))
