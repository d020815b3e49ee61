"""What the server says about itself, within a second, whatever it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from palate.serving.api.room import Room
from palate.serving.api.threads import run_apart
from palate.serving.service import RecommenderService

SECONDS = 1.0
"""Time that the database has for an answer."""


class Fault(NamedTuple):
    """Why a server is not ready.

    Attributes:
        detail: what is wrong.
        hint: what the operator can do.
    """

    detail: str
    hint: str


class Health:
    """Asks the parts of a server for their state; a part that does not answer is asked by one thread at a time.

    Args:
        service: the service.
        room: places of requests in flight.
    """

    def __init__(self, service: RecommenderService, room: Room) -> None:
        self.service, self.room = service, room
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._last_count = 0

    async def fault(self) -> Fault | None:
        """Why requests would fail now; None where they are answered."""
        if self.room.is_full:
            return Fault("all places for requests are taken", "see --queue and --workers")
        try:
            problem = await self._ask("service", self.service.problem)
        except TimeoutError:
            problem = "the database does not answer"
        return None if problem is None else Fault(problem, "see the server's log")

    async def event_count(self) -> int:
        """Number of events; the last known one where the database does not answer."""
        try:
            self._last_count = await self._ask("count", self.service.events.count)
        # metrics answer whatever the database does; what it does is told by the readiness check
        except Exception:
            return self._last_count
        return self._last_count

    async def _ask(self, name: str, call: Callable[[], Any]) -> Any:
        asked = self._asked.get(name)
        if asked is None or asked.done():
            asked = asyncio.ensure_future(run_apart("health", call))
            # an error that nobody waits for any more is no news
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._asked[name] = asked
        done, _ = await asyncio.wait({asked}, timeout=SECONDS)
        if not done:
            raise TimeoutError
        return asked.result()
