"""The last good list of each user, for the moment when the next one is late."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from palate.serving.stages.stage import ListKey, Slate

MAX_LISTS, MAX_LENGTH = 2000, 200
"""Lists that are kept, and items of each."""


class LastLists:
    """Lists by user and model; those that were not asked for longest go first.

    Args:
        size: number of lists that are kept.
    """

    def __init__(self, size: int = MAX_LISTS) -> None:
        self.size = size
        self._lists: OrderedDict[ListKey, Slate] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lists)

    def put(self, key: ListKey, slate: Slate) -> None:
        """Keep a list; a former one that was longer continues it.

        Args:
            key: whose list it is.
            slate: the list.
        """
        with self._lock:
            before = self._lists.pop(key, None)
            if before is not None and len(before.rows) > len(slate.rows):
                rest = ~np.isin(before.rows, slate.rows)
                rows = np.concatenate([slate.rows, before.rows[rest]])
                slate = Slate(rows, np.concatenate([slate.scores, before.scores[rest]]))
            self._lists[key] = Slate(slate.rows[:MAX_LENGTH].copy(), slate.scores[:MAX_LENGTH].copy())
            while len(self._lists) > self.size:
                self._lists.popitem(last=False)

    def get(self, key: ListKey) -> Slate | None:
        """The last list.

        Args:
            key: whose list it is.

        Returns:
            The list, as it was; None where there is none.
        """
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
            return self._lists.get(key)

    def drop(self, is_erased: Callable[[str], bool]) -> None:
        """Forget the lists of users.

        Args:
            is_erased: takes a user id; whether the lists of this user are forgotten.
        """
        with self._lock:
            for key in [key for key in self._lists if is_erased(key.user)]:
                del self._lists[key]
