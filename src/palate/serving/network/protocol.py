"""HTTP over one connection, with limits before a request reaches the app: head, idle time, unread responses."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from palate.serving.api.problems import raw_problem
from palate.serving.network.connections import ConnectionTable

LINGER_SECONDS = 2.0
"""A refused client may go on sending that long, so that it reads why it was refused."""
FRAMING_BYTES = 64 * 2**10
"""Bytes of a body that are not content: sizes of chunks, trailers."""
FRAMING_RATE = 8
"""Further such bytes for each byte of content: chunks of a single byte have six."""


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with the limits of a :class:`.ConnectionTable`, which the app's lifespan state holds.

    Args:
        config: configuration of the server.
        server_state: state of the server.
        app_state: lifespan state; its ``connections`` is the table.
        _loop: event loop.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.table: ConnectionTable = app_state["connections"]
        self.limits = self.table.limits
        self.client_address = "unknown"
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_head, self._refused = True, False
        self._head_bytes = self._framing_bytes = 0

    def is_waiting(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def is_receiving(self) -> bool:
        """Whether the body of the request is not complete."""
        return not self.is_waiting() and self.cycle.more_body

    def give_way(self) -> None:
        """Close the connection at once."""
        self.table.drop(self)
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or answer 503.

        Args:
            transport: the transport.
        """
        super().connection_made(transport)
        self.client_address = self.client[0] if self.client else "unknown"
        if self.table.admit(self):
            self._wait(self.limits.idle_seconds)
        else:
            self._refused = True
            transport.write(raw_problem(503, "too many connections are open", []))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection.

        Args:
            exc: why it was lost.
        """
        self.table.drop(self)
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, unless they exceed the limit of the head or of what surrounds a body.

        Args:
            data: the bytes.
        """
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.head_bytes:
            if self.headers:
                self._refuse(431, "the headers of the request are too large")
            else:
                self._refuse(414, "the URL of the request is too long")
        elif not self._in_head and self._framing_bytes > FRAMING_BYTES:
            self._refuse(400, "the body has more framing than content")

    def on_message_begin(self) -> None:
        """Give the head its time."""
        super().on_message_begin()
        if self.is_waiting():
            self._wait(self.limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer, which follows a body, is ignored.

        Args:
            name: its name.
            value: its value.
        """
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Leave the deadline of the body to the app."""
        self._in_head, self._framing_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body.

        Args:
            body: the part.
        """
        self._framing_bytes = max(0, self._framing_bytes - (1 + FRAMING_RATE) * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()
        if self.is_waiting():
            self._wait(self.limits.idle_seconds)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody reads."""
        super().on_response_complete()
        self.table.touch(self)
        if self.is_waiting() and not self.transport.is_closing():
            self._wait(self.limits.idle_seconds if self._in_head else self.limits.head_seconds)

    def pause_writing(self) -> None:
        """Give the client time to read its response."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def shutdown(self) -> None:
        """Stop without waiting for the rest of an upload."""
        if self.is_receiving():
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP.

        Args:
            msg: what is wrong.
        """
        self._refuse(400, "the request is not valid HTTP")

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._expire)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        if self._in_head and not self._head_bytes:
            self.transport.close()
        elif not self._refused and self._in_head:
            self._refuse(408, "the request did not arrive in time")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, ignore whatever follows, and close the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        unanswered = self.is_receiving() and not self.cycle.response_started and not self.pipeline
        if unanswered:
            # the app, which waits for the rest of the body, sends nothing any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if unanswered or self.is_waiting():
            self.transport.write(raw_problem(status, detail, self.headers or []))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._stop_waiting()
            self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        else:
            self.transport.abort()
