"""The open connections of a worker: how many there may be, and which one gives way to a new one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Protocol

from palate.core.errors import ConfigError
from palate.serving.network.limits import Limits


class Connection(Protocol):
    """What the table asks of a connection."""

    client_address: str

    def is_waiting(self) -> bool:
        """Whether no request of it is being answered."""

    def is_receiving(self) -> bool:
        """Whether the body of its request is not complete."""

    def give_way(self) -> None:
        """Close it at once."""


class ConnectionTable:
    """Open connections by client, the one that was used last at the end.

    A new connection is admitted at the cost of one that waits for a request, else of one that waits for the rest of a
    body; a connection whose request is being answered never gives way. So silent connections and unfinished uploads
    keep out nobody, not even clients with the same address.

    Args:
        limits: numbers of connections.
        proxies: addresses and networks of trusted proxies; their connections are those of many clients.

    Raises:
        ConfigError: for an invalid address of a proxy.
    """

    def __init__(self, limits: Limits, proxies: Iterable[str] = ()) -> None:
        self.limits = limits
        self._proxies = [parse_network(proxy) for proxy in proxies]
        self._clients: dict[str, dict[Connection, None]] = {}
        self._open = 0

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False if every other one is busy.

        Args:
            connection: the connection.
        """
        client = client_of(connection.client_address)
        own = self._clients.get(client, {})
        if len(own) >= self.limits.client_connections and not self._is_proxy(client) and not _release(own):
            return False
        while self._open >= self.limits.connections:
            # the client with the most connections gives one up first
            ordered = sorted(self._clients.values(), key=len, reverse=True)
            if not any(_release(connections) for connections in ordered):
                return False
        self._clients.setdefault(client, {})[connection] = None
        self._open += 1
        return True

    def touch(self, connection: Connection) -> None:
        """Note that a connection was used just now.

        Args:
            connection: the connection.
        """
        own = self._clients.get(client_of(connection.client_address), {})
        if connection in own:
            del own[connection]
            own[connection] = None

    def drop(self, connection: Connection) -> None:
        """Forget a connection that is closed.

        Args:
            connection: the connection; one that was not admitted is ignored.
        """
        client = client_of(connection.client_address)
        own = self._clients.get(client, {})
        if connection in own:
            del own[connection]
            self._open -= 1
            if not own:
                del self._clients[client]

    def __len__(self) -> int:
        return self._open

    def _is_proxy(self, client: str) -> bool:
        if not self._proxies:
            return False
        try:
            address = ipaddress.ip_address(client.partition("/")[0])
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


def _release(connections: Iterable[Connection]) -> bool:
    """Close the connection that has waited longest; False if all are busy."""
    receiving = None
    for connection in list(connections):
        if connection.is_waiting():
            connection.give_way()
            return True
        if receiving is None and connection.is_receiving():
            receiving = connection
    if receiving is None:
        return False
    receiving.give_way()
    return True


def client_of(address: str) -> str:
    """The client of an address: of IPv6, one has a whole /64 network.

    Args:
        address: IP address, or any other name.
    """
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network, or one address as a network.

    Args:
        text: for example ``10.0.0.1`` or ``10.0.0.0/8``.

    Raises:
        ConfigError: for anything else.
    """
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(
            "not an IP address or network", key=text, hint="for example 10.0.0.1 or 10.0.0.0/8"
        ) from error
