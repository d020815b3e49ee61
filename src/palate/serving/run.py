"""Serve a run: in one process, or in several that share port, events and index."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from palate.core.errors import ConfigError, MissingDependencyError
from palate.serving.api.app import Settings
from palate.serving.api.metrics import MULTIPROCESS_DIR
from palate.serving.sockets import bind_socket

if TYPE_CHECKING:
    from fastapi import FastAPI

SETTINGS = "PALATE_SERVE"
"""Environment variable with the settings of a worker process: paths and addresses, never keys."""


def serve(
    settings: Settings, host: str = "127.0.0.1", port: int = 8000, workers: int = 1, open_to_all: bool = False
) -> None:
    """Serve until the process is stopped.

    Args:
        settings: how the run is served.
        host: address to listen on.
        port: port to listen on.
        workers: number of processes.
        open_to_all: whether other machines may be served without a key.

    Raises:
        ConfigError: if other machines reach ``host`` and need no key, or the address cannot be used.
        MissingDependencyError: if uvicorn is not installed.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingDependencyError("uvicorn", "serve") from error
    if settings.keys is None and not open_to_all and not _is_loopback(host):
        raise ConfigError(
            "other machines can reach this address, and no key is required",
            key=host,
            hint="give --keys FILE, or --open to serve everyone",
        )
    settings.folder.mkdir(parents=True, exist_ok=True)
    os.environ[SETTINGS] = json.dumps(asdict(settings))
    config = uvicorn.Config(
        "palate.serving.run:worker", factory=True, workers=workers, access_log=False, log_level="warning",
        server_header=False, timeout_graceful_shutdown=10,
    )  # fmt: skip
    with _shared_metrics(workers):
        with bind_socket(host, port) as listening:
            if workers == 1:
                uvicorn.Server(config).run(sockets=[listening])
                return
        from palate.serving.workers import Workers

        Workers(config, host, port).run()


def worker() -> FastAPI:
    """The app of one worker process."""
    import torch

    from palate.serving.api.app import create_app

    # requests run side by side; threads within one would only slow down the others
    torch.set_num_threads(1)
    # a request that waits for the interpreter while an item is added waits a millisecond at most
    sys.setswitchinterval(0.001)
    settings = json.loads(os.environ[SETTINGS])
    lists = {name: tuple(settings[name]) for name in ("extra_runs", "cors")}
    return create_app(Settings(**{**settings, **lists}))


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """A folder in which several workers add up their metrics."""
    if workers < 2:
        yield
        return
    folder = tempfile.mkdtemp(prefix="palate-metrics-")
    os.environ[MULTIPROCESS_DIR] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
