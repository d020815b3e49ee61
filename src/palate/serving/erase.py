"""Erase a user: the events, and the user's rows in the runs on disk."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from palate.core.errors import PalateError
from palate.serving.events import EventStore
from palate.serving.limited_log import LimitedLog
from palate.serving.replication import Replication
from palate.training.erase import erase_user, user_ids


class ErasedUser(NamedTuple):
    """What was erased.

    Attributes:
        events: number of events.
        known: whether a run knew the user.
        run_files_erased: whether no file of a run holds the user any more; False where a run cannot be changed, which
            is tried again at the next start.
    """

    events: int
    known: bool
    run_files_erased: bool


class RunScrubber:
    """Erases users from the files of runs, one process at a time.

    Args:
        lock: file that is locked while a run on disk is changed.
    """

    def __init__(self, lock: Path) -> None:
        self.lock, self._faults = lock, LimitedLog()

    def scrub(self, run: Path, users: Iterable[str]) -> bool:
        """Erase users from a run; a run that cannot be changed is logged once and stays as it is.

        Args:
            run: folder of the run.
            users: user ids.

        Returns:
            Whether the run's files hold nothing of these users now.
        """
        try:
            with open(self.lock, "w") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                for user in users:
                    erase_user(run, user)
        except (OSError, PalateError) as error:
            # a folder that is copied raises one error for all its files
            copied = isinstance(error, shutil.Error)
            reason = "its files cannot be linked" if copied else getattr(error, "strerror", None) or str(error)
            self._faults.warning(
                f"{run}: {reason}",
                "%s cannot be changed (%s): erased users are hidden, but stay in its files until the service starts "
                "with a run that can be changed",
                run,
                reason,
            )
            return False
        return True


class UserEraser:
    """Erases users here and, before their next answer, in the other processes.

    Args:
        events: the shared event store.
        replication: the snapshots that answer.
        scrubber: erases users from the runs on disk.
        generators: run folders of generators; users who were erased before are erased from them first.
    """

    def __init__(
        self,
        events: EventStore,
        replication: Replication,
        scrubber: RunScrubber,
        generators: Sequence[str | Path] = (),
    ) -> None:
        self.events, self.replication, self.scrubber = events, replication, scrubber
        self.generators = tuple(map(Path, generators))
        for run in self.generators:
            self.scrubber.scrub(run, [user for user in user_ids(run) if replication.is_erased(user)])

    def erase(self, user: str) -> ErasedUser:
        """Erase a user's events, history and vectors.

        Args:
            user: user id; an unknown one is noted too, so that no run that knows the user answers for them.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        n_events = self.events.erase(user)
        self.replication.sync_removals()
        with self.replication.unchanged() as snapshots:
            holders = [snapshot for snapshot in snapshots.values() if user in snapshot.users]
            # each is tried, also where one cannot be changed
            erased = [self.scrubber.scrub(snapshot.run, [user]) for snapshot in holders]
            others = [run for run in self.generators if user in user_ids(run)]
            erased += [self.scrubber.scrub(run, [user]) for run in others]
            for snapshot, done in zip(holders, erased):
                if done:
                    snapshot.users.pop(user, None)
        return ErasedUser(n_events, bool(holders or others), all(erased))
