"""Sockets that a server listens on."""

from __future__ import annotations

import socket

from palate.core.errors import ConfigError


def bind_socket(host: str, port: int, shared: bool = False) -> socket.socket:
    """A bound socket whose connections send at once: waiting for more to send delays an answer by 40 ms.

    Args:
        host: address to listen on.
        port: port to listen on.
        shared: whether other processes may be bound there as well, and get their share of connections.

    Raises:
        ConfigError: if the address is taken or not allowed.
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
