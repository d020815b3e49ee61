"""Several processes behind one port, each with a socket of its own, among which the system divides connections.

Where they share one socket, whoever wakes first takes most of what comes, and one of two may do nearly all the work.
"""

from __future__ import annotations

import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

from palate.serving.run import bound


class Workers(Multiprocess):
    """Uvicorn's processes, which it starts, watches and replaces.

    Args:
        config: of each. host, port: which nobody else is bound to.
    """

    def __init__(self, config: uvicorn.Config, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._given: socket.socket | None = None
        super().__init__(config, [])

    @property
    def sockets(self) -> list[socket.socket]:
        """For the next process that is started: a socket of its own."""
        # kept open here, it would get its share of connections after its process has died
        if self._given is not None:
            self._given.close()
        self._given = bound(self.host, self.port, shared=True)
        return [self._given]

    @sockets.setter
    def sockets(self, given: list[socket.socket]) -> None:
        """None are given from outside."""
