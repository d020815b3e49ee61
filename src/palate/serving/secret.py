"""The secret of a state folder, which signs cookies and hides the names of erased users."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from uuid import uuid4

from palate.core.errors import ConfigError

SECRET_BYTES = 32


def read_secret(file: Path) -> bytes:
    """Bytes that a state folder alone knows, made by the first process that opens it.

    The file appears whole or not at all, and only this account may read it.

    Args:
        file: file of the secret.

    Raises:
        ConfigError: for a file that is empty, too short, or cannot be read or written.
    """
    try:
        if not file.exists():
            _make(file)
        found = file.read_bytes()
        status = file.stat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            file.chmod(0o600)
    except OSError as error:
        raise ConfigError(f"the secret of the state folder cannot be used: {error.strerror}", key=str(file)) from error
    if len(found) < SECRET_BYTES:
        raise ConfigError(
            f"the secret of the state folder has {len(found)} bytes instead of {SECRET_BYTES}",
            key=str(file),
            hint="restore the file from a copy; where no user was erased, remove it, and a new one is made",
        )
    return found


def _make(file: Path) -> None:
    aside = file.with_name(f".{file.name}-{uuid4().hex}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(secrets.token_bytes(SECRET_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
        try:
            # unlike a rename, it never replaces the secret of a process that came first
            os.link(aside, file)
        except FileExistsError:
            pass
        except OSError:
            # a file system without hard links
            os.rename(aside, file)
    finally:
        aside.unlink(missing_ok=True)
