"""Sizes, deadlines and numbers of connections, within which no client can occupy a server."""

from __future__ import annotations

from dataclasses import dataclass

BYTES_PER_SECOND = 64 * 2**10
"""A body that arrives at this rate is given more time."""


@dataclass(frozen=True)
class Limits:
    """Limits of one worker process.

    Attributes:
        url_bytes: bytes of a path with its query; longer ones get 414.
        head_bytes: bytes of a request's head (request line and headers); larger ones get 431.
        head_seconds: time for a head; a connection that takes longer is closed.
        body_seconds: time for a body, and a second more for each :data:`BYTES_PER_SECOND` received; then 408.
        idle_seconds: time that a connection may wait for its next request.
        connections: connections open at once.
        client_connections: connections of one client open at once.
    """

    url_bytes: int = 8 * 2**10
    head_bytes: int = 32 * 2**10
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 10.0
    connections: int = 1000
    client_connections: int = 500

    def body_deadline(self, received: int) -> float:
        """Seconds from the start of a body to its deadline.

        Args:
            received: bytes that have arrived.
        """
        return self.body_seconds + received / BYTES_PER_SECOND
