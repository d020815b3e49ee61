"""Files that may be opened: no pipes, devices or sockets, and none that a link leads to outside of the data."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from palate.core.errors import DataError
from palate.data.media import MediaRoot

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def odd_kind(path: Path) -> str | None:
    """What a path is if it must not be opened: a named pipe, a socket or a device; None for anything else.

    Args:
        path: a path, which need not exist.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return next((name for test, name in _KINDS if test(mode)), None)


def check_regular(path: Path, root: Path | None = None) -> None:
    """Refuse a path that must not be opened.

    Args:
        path: the file, which need not exist.
        root: the data folder; a link that leaves it is refused.

    Raises:
        DataError: naming the file.
    """
    kind = odd_kind(path)
    if kind is not None:
        raise DataError(f"this is {kind}, not a file", file=path, hint="put a copy of the data in its place")
    if root is not None and path.is_symlink():
        try:
            MediaRoot(root)(str(path.relative_to(root)))
        except DataError as error:
            hint = "copy the file into the folder"
            raise DataError("a link that leaves the data folder", file=path, hint=hint) from error
