"""Several processes behind one port, each with a socket of its own, among which the system divides connections.

Where they share one socket, the process that wakes first takes most connections, and one of two may do nearly all the
work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from palate.core.errors import ConfigError
from palate.serving.network.sockets import bind_socket

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a process that died is replaced; doubled each time, until one serves again."""
ANSWER_SECONDS, HUNG_SECONDS = 0.5, 60.0
"""Time that a process has to answer its supervisor, and after which one that served is taken to hang."""
STOP_SECONDS = 15.0
"""Time that a process has to finish its requests once its supervisor is gone."""


class Workers(Multiprocess):
    """Uvicorn's processes, which it starts, watches and replaces.

    Processes that end before any has served end the server: they would fail in the same way again. Later a process that
    died is replaced after a pause that grows while replacements fail, and the others go on answering.

    Args:
        config: configuration of each process.
        host: address to listen on.
        port: port to listen on; no other process may be bound to it.
        on_ready: called once the first process serves.
    """

    def __init__(self, config: uvicorn.Config, host: str, port: int, on_ready: Callable[[], None]) -> None:
        self.host, self.port, self.on_ready = host, port, on_ready
        self._last: socket.socket | None = None
        self._has_served = self._has_failed = False
        self._pause, self._next_start = FIRST_PAUSE, 0.0
        self._last_answers: dict[Process, float] = {}
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

    def run(self) -> None:
        """Serve until a signal, or until no process can start.

        Raises:
            ConfigError: if no process can start.
        """
        super().run()
        if self._has_failed:
            raise ConfigError("no worker process could start", hint="its error is printed above")

    def keep_subprocess_alive(self) -> None:
        """Replace processes that died or hang; one that still loads may take its time."""
        for at, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.process.is_alive() and self._answers(process):
                continue
            if not self._has_served:
                self._has_failed = True
                self.should_exit.set()
            elif time.monotonic() >= self._next_start:
                self._last_answers.pop(process, None)
                process.kill()
                process.join()
                self._next_start = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self.processes[at] = Process(self.config, self.sockets)
                self.processes[at].start()

    def terminate_all(self) -> None:
        """Stop all processes; one that has died already needs no signal."""
        for process in self.processes:
            if process.process.is_alive():
                process.terminate()

    def handle_hup(self) -> None:
        """Ignore a hangup: runs are reloaded by themselves, and connections are not to be cut."""

    def _answers(self, process: Process) -> bool:
        """Whether a process serves, or may yet: it loads, or answered not long ago."""
        now = time.monotonic()
        if not process.is_ready(timeout=ANSWER_SECONDS):
            return now - self._last_answers.get(process, now) < HUNG_SECONDS
        if not self._has_served:
            self._has_served = True
            self.on_ready()
        if process not in self._last_answers:
            self._pause = FIRST_PAUSE
        self._last_answers[process] = now
        return True


def end_with_supervisor() -> None:
    """End this process soon after the process that started it has ended; does nothing in a process of its own."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="supervisor").start()
