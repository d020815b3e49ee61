"""Read a folder that another process may replace meanwhile: all of it, or again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from .asides import asides, mend
from .errors import ArtefactError

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds after which a folder that changes all the time is given up."""


def read_stable(folder: str | Path, facts: str, read: Callable[[Path], T]) -> T:
    """What ``read`` makes of one state of ``folder``; a read during which the folder was replaced is done again.

    What a killed writer left is mended first, as far as this process may.

    Args:
        folder: of a run or the like, replaced as a whole by its writers.
        facts: its file whose content changes with every write.
        read: is called with the folder.

    Raises:
        ArtefactError: from ``read``, or when the folder changes for too long.
    """
    path, until = Path(os.path.realpath(folder)), time.monotonic() + PATIENCE
    while True:
        with suppress(ArtefactError):
            # a writer that lives holds the lock, and needs no help
            mend(path)
        before = _state(path, facts)
        try:
            found = read(path)
        # half of a changing folder can fail in any way; what is not due to a change is raised as it is
        except Exception:
            between = before is None and asides(path.parent, path.name)
            if (_state(path, facts) == before and not between) or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            if _state(path, facts) == before:
                return found
            if time.monotonic() > until:
                raise ArtefactError("it changes all the time", file=folder, hint="try again later")


def _state(folder: Path, facts: str) -> tuple[int, int, bytes] | None:
    try:
        found = os.stat(folder)
        return found.st_dev, found.st_ino, (folder / facts).read_bytes()
    except OSError:
        return None
