"""Checks of what a server is told, before it loads a run: seconds later, a fault would cost the operator patience."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from palate.core.asides import mend
from palate.core.errors import ArtefactError, ConfigError
from palate.serving.api.hosts import AllowedHosts
from palate.serving.api.keys import ApiKeys
from palate.serving.database import Database
from palate.serving.network.connections import ConnectionTable
from palate.serving.settings import Settings, run_names

ORIGIN = re.compile(r"https?://[^/\s?#]+", re.IGNORECASE)


def check_settings(settings: Settings, open_to_all: bool = False) -> None:
    """Refuse settings under which a server could not start, or would serve whom it should not.

    Args:
        settings: how the run is served; its ``host`` is the address to listen on.
        open_to_all: whether other machines may be served without a key.

    Raises:
        ConfigError: for an invalid setting; it names the option.
        ArtefactError: for a folder that is not a run.
    """
    host = settings.host or "127.0.0.1"
    if settings.keys is None and not open_to_all and not is_loopback(host):
        raise ConfigError(
            "other machines can reach this address, and no key is required",
            key=host,
            hint="give --keys FILE, or --open to serve everyone",
        )
    AllowedHosts(host, settings.host_names)
    ConnectionTable(settings.limits, settings.proxies)
    ApiKeys.from_file(settings.keys, b"")
    for origin in settings.cors:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ConfigError("not an origin", key=f"--cors {origin}", hint="for example https://shop.example.com")
    _check_runs(settings.run, settings.extra_runs)
    _check_state(settings.folder)
    if settings.events is not None:
        Database(settings.events).close()
    if settings.index_url is not None and urlsplit(settings.index_url).scheme not in ("http", "https"):
        raise ConfigError("not the URL of a server", key=f"--index {settings.index_url}", hint="http:// or https://")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    Args:
        host: address or name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_runs(run: str, extra_runs: Sequence[str]) -> None:
    for folder in (run, *extra_runs):
        with suppress(ArtefactError):
            # another process may write the run, or this one may not
            mend(folder)
        if not (Path(folder) / "manifest.json").is_file():
            raise ArtefactError("not a run folder", file=folder, hint="expected manifest.json, written by palate fit")
    run_names(run, extra_runs)


def _check_state(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the state folder cannot be made: {error.strerror}", file=folder, hint="give another by --state"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError("the state folder is not writable", file=folder, hint="give another by --state")
