"""A file of changed vectors that one process writes at a time and all read: what was appended is never torn or lost."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


class ChangeLog:
    """Records (row, there, vector) in the order in which they were made; the last of a row counts.

    A record carries a checksum: one that a killed writer left unfinished is no record, and the next writer cuts it off.

    Args:
        file: where. dim: of vectors.
    """

    def __init__(self, file: Path, dim: int) -> None:
        self.file = file
        self.kind = np.dtype([("check", "<u4"), ("there", "<u4"), ("row", "<i8"), ("vector", "<f4", (dim,))])
        self.read_to = 0

    def records(self, rows: NDArray[np.int64], vectors: NDArray[np.float32] | None) -> NDArray[np.void]:
        """What puts rows, or with ``vectors`` None takes them away."""
        made = np.zeros(len(rows), self.kind)
        made["row"] = rows
        if vectors is not None:
            made["there"], made["vector"] = 1, vectors
        made["check"] = [_check(record) for record in made]
        return made

    def append(self, records: NDArray[np.void], handle: BinaryIO) -> None:
        """Write and fsync; ``handle`` is of :meth:`locked`."""
        end = handle.seek(0, os.SEEK_END) // self.kind.itemsize
        while end and not self._valid(handle.fileno(), end - 1):
            end -= 1
        handle.truncate(end * self.kind.itemsize)
        handle.seek(0, os.SEEK_END)
        handle.write(records.tobytes())
        handle.flush()
        os.fsync(handle.fileno())

    def news(self) -> NDArray[np.void]:
        """Records not read before."""
        with open(self.file, "rb") as handle:
            handle.seek(self.read_to)
            found = handle.read()
        records = np.frombuffer(found[: len(found) // self.kind.itemsize * self.kind.itemsize], self.kind)
        good = next((place for place, record in enumerate(records) if _check(record) != record["check"]), len(records))
        self.read_to += good * self.kind.itemsize
        return records[:good]

    @contextmanager
    def locked(self) -> Iterator[BinaryIO]:
        """The file, which no other process writes meanwhile."""
        with open(self.file, "r+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle

    def _valid(self, descriptor: int, place: int) -> bool:
        found = os.pread(descriptor, self.kind.itemsize, place * self.kind.itemsize)
        record = np.frombuffer(found, self.kind)[0]
        return bool(_check(record) == record["check"])


def _check(record: np.void) -> int:
    return zlib.crc32(record.tobytes()[4:])
