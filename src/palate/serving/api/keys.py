"""API keys, stored as hashes, with their permissions; and signed session cookies for browsers."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

from palate.core.errors import ConfigError

Permission = Literal["use", "manage"]
SESSION_COOKIE = "palate_session"
SESSION_SECONDS = 12 * 3600
"""Lifetime of a session."""
MIN_KEY_LENGTH = 16


class Grant(NamedTuple):
    """The result of a successful check of a key or a session.

    Attributes:
        permission: ``use`` (lists, events) or ``manage`` (also items, users, metrics).
        key_hash: SHA-256 of the key.
    """

    permission: Permission
    key_hash: str


class ApiKeys:
    """Permissions by key. Without any key, every request is allowed.

    Args:
        permissions: key -> permission.
        secret: signs session cookies.
    """

    def __init__(self, permissions: Mapping[str, Permission], secret: bytes) -> None:
        self._permissions = {_hash(key): permission for key, permission in permissions.items()}
        self._secret = secret

    @classmethod
    def from_file(cls, file: str | Path | None, secret: bytes) -> ApiKeys:
        """Read a file of keys, one a line: ``KEY``, ``KEY use`` or ``KEY manage``.

        Empty lines and lines that begin with ``#`` are ignored; a key without a permission may manage.

        Args:
            file: the file; None for no keys.
            secret: signs session cookies.

        Raises:
            ConfigError: for a file that cannot be read or holds no key, a malformed line, or a short key; it names the
                line, never the key.
        """
        permissions: dict[str, Permission] = {}
        lines = [] if file is None else _lines(Path(file))
        for number, line in enumerate(lines, 1):
            parts = line.split()
            if not parts or parts[0].startswith("#"):
                continue
            permission = parts[1] if len(parts) > 1 else "manage"
            if len(parts) > 2 or permission not in ("use", "manage"):
                raise ConfigError("expected KEY, KEY use or KEY manage", file=file, row=number)
            if len(parts[0]) < MIN_KEY_LENGTH:
                raise ConfigError(f"a key needs at least {MIN_KEY_LENGTH} characters", file=file, row=number)
            permissions[parts[0]] = cast(Permission, permission)
        if file is not None and not permissions:
            raise ConfigError("the file holds no key", file=file)
        return cls(permissions, secret)

    def __bool__(self) -> bool:
        return bool(self._permissions)

    def verify_key(self, key: str) -> Grant | None:
        """The grant of a key; None for an unknown one.

        Args:
            key: the key as sent.
        """
        # the lookup is by hash, so its duration reveals nothing about the keys
        return self._grant(_hash(key))

    def session_cookie(self, key: str) -> str | None:
        """A signed cookie value for a browser; None for an unknown key.

        Args:
            key: the key as sent.
        """
        grant = self.verify_key(key)
        if grant is None:
            return None
        expires = str(int(time.time()) + SESSION_SECONDS)
        return f"{grant.key_hash}.{expires}.{self._signature(grant.key_hash, expires)}"

    def verify_session(self, cookie: str) -> Grant | None:
        """The grant of a session cookie; None if the signature is wrong, it has expired, or its key was withdrawn.

        Args:
            cookie: value of :data:`SESSION_COOKIE`.
        """
        key_hash, _, rest = cookie.partition(".")
        expires, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(key_hash, expires).encode()):
            return None
        return self._grant(key_hash) if int(expires) > time.time() else None

    def _grant(self, key_hash: str) -> Grant | None:
        permission = self._permissions.get(key_hash)
        return None if permission is None else Grant(permission, key_hash)

    def _signature(self, key_hash: str, expires: str) -> str:
        return hmac.new(self._secret, f"session:{key_hash}:{expires}".encode(), hashlib.sha256).hexdigest()


def _lines(file: Path) -> list[str]:
    """Lines of a file of keys, which must be a plain file: a pipe or device would be waited for."""
    hint = "give a file of keys, one a line, by --keys"
    if file.exists() and not file.is_file():
        raise ConfigError("not a file", file=file, hint=hint)
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError("the keys are not UTF-8 text", file=file, hint=hint) from error
    except OSError as error:
        raise ConfigError(f"the keys cannot be read: {error.strerror}", file=file, hint=hint) from error


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
