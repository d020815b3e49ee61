"""A log of faults that repeat: each kind is written now and then, with the number of times it was not."""

from __future__ import annotations

import logging
import threading
import time

LOG = logging.getLogger("palate.serving")
MAX_KEYS = 1000


class LimitedLog:
    """Writes a message of each kind at most once in some time.

    Args:
        seconds: seconds between two messages of one kind; None for one message in all.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, kind: str, text: str, *values: object, error: BaseException | None = None) -> None:
        """Write a warning, unless one of this kind was written lately.

        Args:
            kind: what repeats.
            text: the message, with places for ``values``.
            *values: values of the message.
            error: an error whose traceback is written too.
        """
        now = time.monotonic()
        with self._lock:
            last = self._last.get(kind)
            if last is not None and (self.seconds is None or now - last < self.seconds):
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return
            if len(self._last) >= MAX_KEYS:
                self._last.clear()
                self._left_out.clear()
            self._last[kind] = now
            left_out = self._left_out.pop(kind, 0)
        LOG.warning(text + (f" ({left_out} more times since)" if left_out else ""), *values, exc_info=error)
