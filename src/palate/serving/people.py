"""Who asks: a row of the run, what was taken before and since, what is hidden."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from palate.core.batch import IntArray

from .edition import Edition
from .events import Event


@dataclass(frozen=True)
class Person:
    """A user in rows of an edition.

    Attributes:
        user: row in the user table, -1 if the run does not know them. liked: items taken, oldest first, each once, at
            its latest. later: something happened since the run. hidden: items they do not want to see.
    """

    user: int
    liked: IntArray
    later: bool
    hidden: IntArray


def person(edition: Edition, user: int, events: Iterable[Event]) -> Person:
    """From the run's history and what came after it, in order: clicks and likes are taken, what is hidden is not.

    A click on, or a like of, what was hidden before shows it again.
    """
    taken = dict.fromkeys(edition.deployment.seen[user].tolist() if user >= 0 else ())
    hidden: dict[int, None] = {}
    later = False
    for event in events:
        row = edition.row(event.item)
        if row < 0:
            continue
        later = True
        taken.pop(row, None)
        hidden.pop(row, None)
        (hidden if event.kind == "hide" else taken)[row] = None
    return Person(user, np.fromiter(taken, np.int64, len(taken)), later, np.fromiter(hidden, np.int64, len(hidden)))


def visitor(edition: Edition, liked: Iterable[str]) -> Person:
    """Somebody of whom only some liked items are known."""
    rows = dict.fromkeys(edition.row(item) for item in liked)
    rows.pop(-1, None)
    return Person(-1, np.fromiter(rows, np.int64, len(rows)), True, np.zeros(0, np.int64))
