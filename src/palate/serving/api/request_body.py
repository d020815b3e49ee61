"""Read the body of a request before the request counts as one in flight: within a size, a time and a memory budget."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from palate.serving.network.limits import Limits

MAX_BODY_BYTES = 12 * 2**20
SMALL_BODY_BYTES = 64 * 2**10
"""A body up to this size is always read."""
MAX_HELD_BYTES = 192 * 2**20
"""Bytes that larger bodies may take together while they arrive."""
TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES // 2**20} MiB"


class BodyRefused(Exception):
    """A body that is not read to its end.

    Args:
        status: HTTP status; 0 where the client has left.
        detail: what is wrong.
    """

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class BodyReader:
    """Reads bodies of one worker's requests.

    Args:
        limits: deadlines.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = 0

    async def read(self, receive: Receive, max_bytes: int = MAX_BODY_BYTES) -> Receive:
        """Read a body, and return what repeats it for the app.

        Args:
            receive: ASGI receive.
            max_bytes: largest size.

        Raises:
            BodyRefused: 408 for a body that is late, 413 for one that is too large, 503 where others take the memory.
        """
        parts: list[bytes] = []
        size, started = 0, time.monotonic()
        try:
            while True:
                left = started + self.limits.body_deadline(size) - time.monotonic()
                message = await asyncio.wait_for(receive(), max(left, 0))
                if message["type"] == "http.disconnect":
                    raise BodyRefused(0)
                part = message.get("body", b"")
                held = self._large(size)
                size += len(part)
                if size > max_bytes:
                    raise BodyRefused(413, TOO_LARGE if max_bytes == MAX_BODY_BYTES else "the body is too large")
                self._held += self._large(size) - held
                if self._large(size) > held and self._held > MAX_HELD_BYTES:
                    raise BodyRefused(503, "too many large uploads are in progress")
                parts.append(part)
                if not message.get("more_body", False):
                    return _repeated(b"".join(parts), receive)
        except TimeoutError as error:
            raise BodyRefused(408, "the body of the request did not arrive in time") from error
        finally:
            self._held -= self._large(sum(map(len, parts)))

    @staticmethod
    def _large(size: int) -> int:
        return size if size > SMALL_BODY_BYTES else 0


def _repeated(body: bytes, receive: Receive) -> Receive:
    """``receive`` that gives a body that was read, and then what follows it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def repeat() -> Message:
        return pending.pop() if pending else await receive()

    return repeat
