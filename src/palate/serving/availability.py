"""Whether a database answers: after a failure it is asked again now and then, and all others are refused at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from palate.core.errors import PalateError
from palate.serving.limited_log import LimitedLog

RETRY_SECONDS, LOG_SECONDS = 1.0, 60.0
"""Seconds between two attempts while the database does not answer, and between two messages about one reason."""

Result = TypeVar("Result")


class DatabaseUnavailable(PalateError):
    """The database or the disk does not answer at the moment; what it was asked to store may be sent again."""


class SearchUnavailable(PalateError):
    """A search took too long or failed; it may be sent again."""


class Availability:
    """Remembers a failure, so that only one caller in :data:`RETRY_SECONDS` waits for a database that does not answer.

    The first failure and the recovery are logged, nothing in between; one that comes and goes, once a minute.

    Args:
        purpose: what does not work meanwhile, for the log and for errors.
    """

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.reason: str | None = None
        self._next_attempt = 0.0
        self._lock = threading.Lock()
        self._log = LimitedLog(LOG_SECONDS)

    def check(self) -> None:
        """Pass while the database answers, and once in :data:`RETRY_SECONDS` while it does not.

        Raises:
            DatabaseUnavailable: for all other callers.
        """
        if self.reason is None:
            return
        with self._lock:
            if self.reason is not None and time.monotonic() < self._next_attempt:
                raise self.error()
            self._next_attempt = time.monotonic() + RETRY_SECONDS

    def error(self) -> DatabaseUnavailable:
        """The error of a caller that is refused."""
        return DatabaseUnavailable(
            f"{self.purpose} at the moment: {self.reason or 'the database does not answer'}", hint="try again later"
        )

    def failed(self, reason: str) -> None:
        """Remember a failure.

        Args:
            reason: why the database does not answer, without addresses.
        """
        with self._lock:
            before, self.reason = self.reason, reason
            self._next_attempt = time.monotonic() + RETRY_SECONDS
        if before is None:
            self._log.warning(f"away: {reason}", "%s: %s; tried again every %g s", self.purpose, reason, RETRY_SECONDS)

    def succeeded(self) -> None:
        """Forget a failure."""
        if self.reason is None:
            return
        with self._lock:
            before, self.reason = self.reason, None
        if before is not None:
            self._log.warning(f"back: {before}", "the database answers again, after: %s", before)


class TimeLimit:
    """Runs work in threads of its own that are left behind when they take too long.

    Args:
        threads: number of threads at most, those left behind included.
    """

    def __init__(self, threads: int) -> None:
        self._free = threading.BoundedSemaphore(threads)

    def run(self, work: Callable[[], Result], seconds: float) -> Result:
        """The result of ``work``.

        Args:
            work: what is done.
            seconds: how long it may wait for a thread, and then take.

        Raises:
            TimeoutError: if it takes longer.
        """
        if not self._free.acquire(timeout=seconds):
            raise TimeoutError
        future: Future[Result] = Future()

        def go() -> None:
            try:
                future.set_result(work())
            # whatever it is, it is raised in the thread that waits
            except BaseException as error:
                future.set_exception(error)
            finally:
                self._free.release()

        threading.Thread(target=go, daemon=True, name="database").start()
        return future.result(timeout=seconds)
