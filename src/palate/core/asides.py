"""Names of what is written aside, and what a killed writer left of it.

``.palate-tmp-ID-NAME`` becomes NAME when it is complete; ``.palate-old-ID-NAME`` is what NAME was until then. Between
the two renames NAME is missing and both exist: the pair of one ID tells where to go on.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path
from typing import NamedTuple

from .locks import locked

TEMP_PREFIX = ".palate-tmp-"
OLD_PREFIX = ".palate-old-"
_NAME = re.compile(r"\.palate-(tmp|old)-([0-9a-f]{32})-(.+)", re.DOTALL)


class Aside(NamedTuple):
    """A file or folder beside its target.

    Attributes:
        path: where it lies.
        kind: ``tmp``, not complete before the renames, or ``old``, the former target.
        number: 32 hexadecimal digits, the same for both of one writer.
        name: of the target, in the same folder.
    """

    path: Path
    kind: str
    number: str
    name: str


def aside_of(path: Path) -> Path:
    """A new name beside ``path`` to write to."""
    return path.with_name(f"{TEMP_PREFIX}{uuid.uuid4().hex}-{path.name}")


def old_of(aside: Path) -> Path:
    """The name that the former target gets while ``aside`` takes its place."""
    return aside.with_name(OLD_PREFIX + aside.name.removeprefix(TEMP_PREFIX))


def parse(path: Path) -> Aside | None:
    """What a name says, None for one that is not of these forms.

    Args:
        path: a file or folder.
    """
    matched = _NAME.fullmatch(path.name)
    return Aside(path, *matched.groups()) if matched else None


def asides(folder: str | Path, name: str | None = None) -> list[Aside]:
    """What lies aside in a folder.

    Args:
        folder: is listed; a missing one holds nothing.
        name: only what is aside of exactly this target.
    """
    try:
        entries = [parse(Path(entry)) for entry in os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return [found for found in entries if found is not None and name in (None, found.name)]


def sweep_leftovers(folder: str | Path, name: str | None = None) -> None:
    """Remove what killed writers left aside in ``folder``; the caller knows that no live one writes there.

    Args:
        folder: is listed.
        name: only what is aside of exactly this target.
    """
    for found in asides(folder, name):
        remove(found.path)


def mend(path: str | Path, wait: float = 0.0) -> None:
    """Finish what a killed writer of a folder began, and remove what it left aside.

    Args:
        path: the folder that was written; it may be missing.
        wait: seconds to wait for a writer that lives.

    Raises:
        ArtefactError: while a live writer holds the lock, or if the parent folder cannot be written.
    """
    path = Path(os.path.realpath(path))
    if not asides(path.parent, path.name):
        return
    with locked(path, wait):
        mend_locked(path)


def mend_locked(path: Path) -> None:
    """:func:`mend` for whoever holds the lock: nobody else writes ``path`` now.

    Args:
        path: the folder, without links.
    """
    found = [one for one in asides(path.parent, path.name) if one.path.is_dir()]
    written = {one.number: one.path for one in found if one.kind == "tmp"}
    for old in (one for one in found if one.kind == "old"):
        if not path.exists():
            # the former target moves away only after the new one is complete and on the disk
            os.replace(written.pop(old.number, old.path), path)
        if old.path.exists():
            shutil.rmtree(old.path)
    for left in written.values():
        shutil.rmtree(left)


def remove(path: Path) -> None:
    """Remove a file, or a folder as far as that is possible.

    Args:
        path: what to remove; it may be missing.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
