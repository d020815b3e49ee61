"""Serve a run: in one process, or in several that share port, events and index."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from palate.core.errors import MissingDependencyError, PalateError
from palate.serving.network.limits import Limits
from palate.serving.network.sockets import bind_socket, connection_limit
from palate.serving.settings import Settings
from palate.serving.startup import check_settings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

SETTINGS = "PALATE_SERVE"
"""Environment variable with the settings of a worker process: paths and addresses, never keys."""
STARTUP_FAILURE = 3
"""Exit status of a worker process that could not start."""


def serve(
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    open_to_all: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until the process is stopped.

    Args:
        settings: how the run is served.
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        workers: number of processes.
        open_to_all: whether other machines may be served without a key.
        on_ready: called with the server's URL once it listens.

    Raises:
        ConfigError: for a setting that cannot work, before the run is loaded.
        ArtefactError: for a folder that is not a run.
        MissingDependencyError: if uvicorn or httptools is not installed.
    """
    try:
        import httptools  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "uvicorn", "serve") from error
    settings = replace(settings, host=host)
    check_settings(settings, open_to_all)
    os.environ[SETTINGS] = json.dumps(asdict(settings))
    with _shared_metrics(workers), bind_socket(host, port) as listening:
        port = listening.getsockname()[1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        config = server_config(settings, "palate.serving.run:worker", workers)

        def ready() -> None:
            if on_ready is not None:
                on_ready(url)

        _ignore_hangup()
        if workers == 1:
            _announced(config, ready).run(sockets=[listening])
            return
        listening.close()
        from palate.serving.network.workers import Workers

        Workers(config, host, port, ready).run()


def worker() -> FastAPI:
    """The app of one worker process, which ends with one line where it cannot start."""
    import torch

    from palate.serving.api.app import create_app

    # requests run side by side; threads within one would only slow down the others
    torch.set_num_threads(1)
    # a request that waits for the interpreter while an item is added waits a millisecond at most
    sys.setswitchinterval(0.001)
    given = json.loads(os.environ[SETTINGS])
    lists = {name: tuple(given[name]) for name in ("extra_runs", "cors", "host_names", "proxies")}
    limits = Limits(**given["limits"])
    limits = replace(limits, connections=connection_limit(limits.connections))
    settings = Settings(**{**given, **lists, "limits": limits})
    if multiprocessing.parent_process() is None:
        return create_app(settings)
    from palate.serving.network.workers import end_with_supervisor

    _ignore_hangup()
    end_with_supervisor()
    try:
        return create_app(settings)
    except PalateError as error:
        sys.stderr.write("error: " + " ".join(str(error).split()) + "\n")
        sys.exit(STARTUP_FAILURE)


def _ignore_hangup() -> None:
    """Go on serving when a terminal is closed; runs are reloaded without a signal."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def server_config(settings: Settings, app: str | FastAPI, workers: int = 1) -> uvicorn.Config:
    """The configuration of uvicorn.

    Args:
        settings: how the run is served.
        app: the app, or the name of a function that makes it in each process.
        workers: number of processes.
    """
    import uvicorn

    from palate.serving.network.protocol import LimitedProtocol

    return uvicorn.Config(
        app, factory=isinstance(app, str), workers=workers, access_log=False, log_level="error",
        server_header=False, timeout_graceful_shutdown=10, http=LimitedProtocol, ws="none",
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
    )  # fmt: skip


def _announced(config: uvicorn.Config, on_ready: Callable[[], None]) -> uvicorn.Server:
    """A server of one process that tells when it listens."""
    import uvicorn

    class Announced(uvicorn.Server):
        """A server that tells when it listens."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

    return Announced(config)


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """A folder in which several workers add up their metrics."""
    if workers < 2:
        yield
        return
    from palate.serving.api.metrics import MULTIPROCESS_DIR

    folder = tempfile.mkdtemp(prefix="palate-metrics-")
    os.environ[MULTIPROCESS_DIR] = folder
    try:
        yield
    finally:
        del os.environ[MULTIPROCESS_DIR]
        shutil.rmtree(folder, ignore_errors=True)
