"""One writer at a time for a file or folder: a lock beside it, never inside what is replaced."""

from __future__ import annotations

import errno
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ArtefactError

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger("palate")
WAIT = 60.0
"""Seconds that a writer waits for another one, unless told otherwise."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_held = threading.local()


@contextmanager
def locked(path: str | Path, wait: float = WAIT, shown: str | Path | None = None) -> Iterator[None]:
    """Hold the lock of ``path``; the same thread may ask for it again.

    The lock is the file ``.NAME.lock`` beside the target, removed afterwards. It ends with its process. On a file
    system without locks, a file that names host and process of its owner takes its place.

    Args:
        path: file or folder that is written; it need not exist. A link stands for its target.
        wait: seconds to wait for another writer; 0 does not wait.
        shown: what the error names instead of ``path``.

    Raises:
        ArtefactError: when another writer holds the lock for longer, or the parent folder cannot be written.
    """
    target = os.path.realpath(path)
    held: set[str] = _held.__dict__.setdefault("paths", set())
    if target in held:
        yield
        return
    lock = _acquire(Path(target), wait, shown or target)
    held.add(target)
    try:
        yield
    finally:
        held.discard(target)
        _release(lock)


def lock_file(path: str | Path) -> Path:
    """The lock file of ``path``."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name}.lock")


def _release(lock: BaseFileLock) -> None:
    from filelock import SoftFileLock

    if not isinstance(lock, SoftFileLock):
        # while it is held: whoever waits for the removed file notices and makes a new one
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _acquire(target: Path, wait: float, shown: str | Path) -> BaseFileLock:
    from filelock import FileLock, SoftFileLock, Timeout

    file = lock_file(target)
    lock: BaseFileLock = FileLock(file, timeout=wait, mode=0o666)
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lock.acquire(poll_interval=0.02)
        except OSError as error:
            if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
                raise
            log.warning("%s: the file system has no locks (%s); a file names the writer instead", file.parent, error)
            lock = SoftFileLock(file.with_name(f"{file.name}.owner"), timeout=wait)
            lock.acquire(poll_interval=0.02)
    except Timeout as error:
        raise ArtefactError(
            "another process is writing it", file=shown, hint="wait until it has finished, or choose another folder"
        ) from error
    except OSError as error:
        raise ArtefactError(
            f"cannot be written ({error.strerror or error})", file=shown, hint="choose a folder that can be written"
        ) from error
    return lock
