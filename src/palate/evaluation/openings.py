"""How often a test part was opened on this machine, counted across runs and output folders.

Every opening is a small file in the user's cache, in a folder named by the data and the rows of the test part. Writing
to another ``--out``, or over a former run, therefore does not start again at one; other spellings of one split, and
transductive or masked variants with the same test rows, count together.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from palate.core.cache import CACHE, cache_folder
from palate.core.files import digest, write_json
from palate.data.dataset import Dataset
from palate.data.splits import TEST

log = logging.getLogger("palate")


@dataclass
class Block:
    """What one command opened.

    Attributes:
        command: kept with every opening.
        counts: folder of a test part -> openings of it so far.
    """

    command: str
    counts: dict[Path, int] = field(default_factory=dict)


_BLOCK: ContextVar[Block | None] = ContextVar("opening", default=None)


def openings_folder(data: Dataset) -> Path:
    """The folder with one file for each opening of the test part of ``data``.

    Args:
        data: dataset with a split.
    """
    split, positives = data.split, data.positives
    rows = split.part == TEST
    pairs = np.stack([positives.users[rows], positives.items[rows]]).astype("<i8")
    return cache_folder() / "openings" / digest(data.hash, pairs.tobytes())


def openings_of(data: Dataset) -> int:
    """How often the test part of ``data`` was opened on this machine so far.

    Args:
        data: dataset with a split.
    """
    return sum(1 for _ in openings_folder(data).glob("*.json"))


def open_test(data: Dataset, command: str = "evaluate") -> int:
    """Note that the test part of ``data`` is about to be opened: once in a :func:`one_opening` block, else every time.

    A cache that cannot be written does not stop an evaluation; the opening is then logged as not counted.

    Args:
        data: dataset with a split.
        command: who opens it, outside of a block.

    Returns:
        Openings so far, this one included.
    """
    folder, block = openings_folder(data), _BLOCK.get()
    if block is not None and folder in block.counts:
        return block.counts[folder]
    fact = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command if block is None else block.command,
        "data": data.name,
        "split": str(data.spec),
    }
    count = openings_of(data) + 1
    try:
        write_json(folder / f"{uuid.uuid4().hex}.json", fact)
        count = openings_of(data)
    except OSError as error:
        log.warning("this opening of test could not be counted (%s); %s names another folder", error, CACHE)
    if block is not None:
        block.counts[folder] = count
    return count


@contextmanager
def one_opening(command: str, counted: Iterable[Dataset] = ()) -> Iterator[Block]:
    """Count all that a command opens of one test part as one opening.

    Args:
        command: the command, kept with the opening.
        counted: data whose opening by this command was counted before, when it was killed and goes on.

    Yields:
        What was opened in this block.
    """
    block = Block(command, {openings_folder(data): openings_of(data) for data in counted})
    token = _BLOCK.set(block)
    try:
        yield block
    finally:
        _BLOCK.reset(token)
