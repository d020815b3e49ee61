"""Names that a server answers to: a page of another site cannot reach it by a name of its own (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from palate.core.errors import ConfigError

NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)
HEADER = re.compile(r"(\[[0-9a-f:.]+\]|[^:%\[\]]+)(?::(\d{1,5}))?", re.IGNORECASE)
"""Value of the header ``Host``: a name or an address, and a port."""


class AllowedHosts:
    """Checks the header ``Host``.

    Any address of this machine is allowed where the server listens on all of them: a site can choose its name, but not
    the address of another machine.

    Args:
        address: address that the server listens on.
        names: further names, for example those that a proxy in front passes on.

    Raises:
        ConfigError: for a name that is none.
    """

    def __init__(self, address: str, names: Iterable[str] = ()) -> None:
        names = [name.rstrip(".").lower() for name in names]
        for name in names:
            if not NAME.fullmatch(name):
                raise ConfigError("not a host name", key=name, hint="a name without scheme and port: shop.example.com")
        self._names = {"localhost", *names}
        self._addresses: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
        self._any_address = False
        bound = _address(address)
        if bound is None:
            self._names.add(address.lower())
        elif bound.is_unspecified:
            self._any_address = True
        else:
            self._addresses.add(bound)
        if bound is not None and not bound.is_loopback:
            self._names.add(socket.gethostname().lower())

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the headers name one host that is allowed.

        Args:
            headers: names in lower case, and values.
        """
        hosts = [value for name, value in headers if name == b"host"]
        match = HEADER.fullmatch(hosts[0].decode("latin-1").strip()) if len(hosts) == 1 else None
        if match is None:
            return False
        host = match[1].strip("[]").rstrip(".").lower()
        address = _address(host)
        if address is None:
            return host in self._names
        return self._any_address or address.is_loopback or address in self._addresses


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
