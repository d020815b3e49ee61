"""Content from a run folder, without a server: what the run knows of users and items, no events."""

from __future__ import annotations

from pathlib import Path

from palate.core.errors import DataError, did_you_mean
from palate.serving.snapshot import MAIN, ModelSnapshot, ResolvedModel
from palate.serving.snapshot_builder import open_snapshot
from palate.serving.user_state import UserState, anonymous_user, known_user


class OfflineRun:
    """A run that is asked for content.

    Args:
        run: run folder.

    Raises:
        ArtefactError: for a folder that is not a run.
        ConfigError: if its model does not recommend items.
    """

    def __init__(self, run: str | Path) -> None:
        self.snapshot: ModelSnapshot = open_snapshot(run)
        self.resolved = ResolvedModel(self.snapshot, self.snapshot.models[MAIN])

    def row(self, item: str) -> int:
        """Row of an item.

        Args:
            item: its id.

        Raises:
            DataError: for an unknown item.
        """
        row = self.snapshot.row(item)
        if row < 0:
            raise DataError("no such item", key=item, hint=did_you_mean(item, self.snapshot.rows))
        return row

    def user(self, user: str | None) -> UserState:
        """What the run knows of a user.

        Args:
            user: the id; None for an anonymous user without a history.

        Raises:
            DataError: for a user whom the run does not know.
        """
        if user is None:
            return anonymous_user(self.snapshot, ())
        if user not in self.snapshot.users:
            raise DataError("no such user", key=user, hint=did_you_mean(user, self.snapshot.users))
        return known_user(self.snapshot, self.snapshot.users[user], ())
