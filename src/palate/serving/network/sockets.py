"""Sockets that a server listens on, and the number of files that a process may have open."""

from __future__ import annotations

import contextlib
import socket
import sys

from palate.core.errors import ConfigError

SPARE_FILES = 256
"""Files of a process that are no connections: the run, the database, the index."""


def bind_socket(host: str, port: int, shared: bool = False) -> socket.socket:
    """A bound socket whose connections send at once: waiting for more to send delays an answer by 40 ms.

    Args:
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        shared: whether other processes may be bound there as well, and get their share of connections.

    Raises:
        ConfigError: if the address is taken, not allowed or none.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError, ValueError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot listen there: {reason}", key=f"{host}:{port}", hint="--host, --port") from error
    return listening


def connection_limit(wanted: int) -> int:
    """Connections that this process can hold, once it may have as many files open as the system allows it.

    Args:
        wanted: number of connections.
    """
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - SPARE_FILES), 16)
