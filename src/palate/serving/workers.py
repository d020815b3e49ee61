"""Several processes behind one port, each with a socket of its own, among which the system divides connections.

Where they share one socket, the process that wakes first takes most connections, and one of two may do nearly all the
work.
"""

from __future__ import annotations

import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

from palate.serving.sockets import bind_socket


class Workers(Multiprocess):
    """Uvicorn's processes, which it starts, watches and replaces.

    Args:
        config: configuration of each process.
        host: address to listen on.
        port: port to listen on; no other process may be bound to it.
    """

    def __init__(self, config: uvicorn.Config, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._last: socket.socket | None = None
        super().__init__(config, [])

    @property
    def sockets(self) -> list[socket.socket]:
        """A socket for the next process that is started."""
        # kept open here, it would get its share of connections after its process has died
        if self._last is not None:
            self._last.close()
        self._last = bind_socket(self.host, self.port, shared=True)
        return [self._last]

    @sockets.setter
    def sockets(self, given: list[socket.socket]) -> None:
        """Sockets from outside are ignored."""
