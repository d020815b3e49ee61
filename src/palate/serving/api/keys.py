"""Who may ask: keys, kept as hashes; what a key may do; and the cookie that lets a browser in."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from palate.core.errors import ConfigError

Right = Literal["use", "manage"]
STAYS = 12 * 3600
"""Seconds for which a browser is let in."""
SHORTEST = 16


class Keys:
    """Hash of a key -> what it may do. With none at all, everybody may do everything.

    Args:
        rights: key -> right. secret: with which cookies are signed.
    """

    def __init__(self, rights: Mapping[str, Right], secret: bytes) -> None:
        self.rights = {_hash(key): right for key, right in rights.items()}
        self.secret = secret

    @classmethod
    def read(cls, file: str | Path | None, secret: bytes) -> Keys:
        """Lines ``KEY`` or ``KEY use`` or ``KEY manage``; empty ones and those with # are passed over.

        Raises:
            ConfigError: naming the line, never the key.
        """
        found: dict[str, Right] = {}
        lines = [] if file is None else Path(file).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            parts = line.split()
            if not parts or parts[0].startswith("#"):
                continue
            right = parts[1] if len(parts) > 1 else "manage"
            if len(parts) > 2 or right not in ("use", "manage"):
                raise ConfigError("expected KEY, KEY use or KEY manage", file=file, row=number)
            if len(parts[0]) < SHORTEST:
                raise ConfigError(f"a key of less than {SHORTEST} characters can be guessed", file=file, row=number)
            found[parts[0]] = right  # type: ignore[assignment]
        if file is not None and not found:
            raise ConfigError("no key in it", file=file)
        return cls(found, secret)

    def __bool__(self) -> bool:
        return bool(self.rights)

    def right(self, key: str) -> tuple[Right, str] | None:
        """What a key may do, and its hash; None for one that is unknown."""
        mark = _hash(key)
        # what is looked up is a hash, so the time it takes says nothing of the keys
        return (self.rights[mark], mark) if mark in self.rights else None

    def entry(self, key: str) -> str | None:
        """A cookie for who has this key."""
        found = self.right(key)
        if found is None:
            return None
        until = str(int(time.time()) + STAYS)
        return f"{found[1]}.{until}.{self._signed(found[1], until)}"

    def entered(self, cookie: str) -> tuple[Right, str] | None:
        """What the bearer of a cookie may do; None if it is not ours, or too old."""
        mark, _, rest = cookie.partition(".")
        until, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signed(mark, until).encode()):
            return None
        return (self.rights[mark], mark) if mark in self.rights and int(until) > time.time() else None

    def _signed(self, mark: str, until: str) -> str:
        return hmac.new(self.secret, f"entry:{mark}:{until}".encode(), hashlib.sha256).hexdigest()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
