"""Serve: one process, or several that share port, events and index."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from palate.core.errors import ConfigError, MissingDependencyError
from palate.serving.api.app import Settings
from palate.serving.api.metrics import MULTIPROCESS_DIR

if TYPE_CHECKING:
    from fastapi import FastAPI

TOLD = "PALATE_SERVE"
"""Where a worker process finds its settings: paths and addresses, never keys."""


def serve(
    settings: Settings, host: str = "127.0.0.1", port: int = 8000, workers: int = 1, open_to_all: bool = False
) -> None:
    """Serve until told to stop.

    Raises:
        ConfigError: for a host that others reach while nobody needs a key, unless ``open_to_all``.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingDependencyError("uvicorn", "serve") from error
    if settings.keys is None and not open_to_all and not _local(host):
        raise ConfigError(
            "others reach this address, and no key is asked of them",
            key=host,
            hint="--keys FILE, or --open if so meant",
        )
    settings.folder.mkdir(parents=True, exist_ok=True)
    os.environ[TOLD] = json.dumps(asdict(settings))
    config = uvicorn.Config(
        "palate.serving.run:worker", factory=True, workers=workers, access_log=False, log_level="warning",
        server_header=False, timeout_graceful_shutdown=10,
    )  # fmt: skip
    with _measured(workers):
        with bound(host, port) as listening:
            if workers == 1:
                uvicorn.Server(config).run(sockets=[listening])
                return
        from palate.serving.workers import Workers

        Workers(config, host, port).run()


def bound(host: str, port: int, shared: bool = False) -> socket.socket:
    """A bound socket whose connections send at once: waiting for more to send costs an answer 40 ms.

    Args:
        shared: whether others may be bound there as well, and get their share of what comes.

    Raises:
        ConfigError: when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(f"cannot listen there: {error.strerror}", key=f"{host}:{port}", hint="--port") from error
    return listening


def worker() -> FastAPI:
    """The app of one worker process."""
    import torch

    from palate.serving.api.app import create_app

    # requests run side by side; threads inside one would only get in each other's way
    torch.set_num_threads(1)
    # who waits for the interpreter while an item is added waits a millisecond at most
    sys.setswitchinterval(0.001)
    told = json.loads(os.environ[TOLD])
    return create_app(Settings(**{**told, "extra_runs": tuple(told["extra_runs"]), "cors": tuple(told["cors"])}))


@contextmanager
def _measured(workers: int) -> Iterator[None]:
    """Where several workers meet to count requests."""
    if workers < 2:
        yield
        return
    folder = tempfile.mkdtemp(prefix="palate-measures-")
    os.environ[MULTIPROCESS_DIR] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
