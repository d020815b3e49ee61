"""Erase a user: the events, and the user's rows in the runs on disk."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from palate.serving.events import EventStore
from palate.serving.replication import Replication
from palate.training.erase import erase_user


class ErasedUser(NamedTuple):
    """What was erased.

    Attributes:
        events: number of events.
        known: whether a run knew the user.
    """

    events: int
    known: bool


class UserEraser:
    """Erases users here and, before their next answer, in the other processes.

    Args:
        events: the shared event store.
        replication: the snapshots that answer.
        lock: file that is locked while a run on disk is changed.
    """

    def __init__(self, events: EventStore, replication: Replication, lock: Path) -> None:
        self.events, self.replication, self.lock = events, replication, lock

    def erase(self, user: str) -> ErasedUser:
        """Erase a user's events, history and vectors.

        Args:
            user: user id; an unknown one is noted too, so that no run that knows the user answers for them.
        """
        n_events = self.events.erase(user)
        self.replication.sync_removals()
        return ErasedUser(n_events, self._erase_from_runs([user]))

    def finish_pending(self) -> None:
        """Erase users from the runs whom the database names as erased.

        A process that was killed may have left some, and so may a run that was made of older data.
        """
        users = [user for user in self.replication.snapshot.users if self.replication.is_erased(user)]
        self._erase_from_runs(users)

    def _erase_from_runs(self, users: Iterable[str]) -> bool:
        """Erase users from the runs on disk, one process at a time; whether a run knew one."""
        with self.replication.unchanged() as snapshots, open(self.lock, "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            known = [erase_user(snapshot.run, user) for snapshot in snapshots.values() for user in users]
        return any(known)
