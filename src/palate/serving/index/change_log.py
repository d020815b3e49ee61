"""A file of changed vectors that one process writes at a time and all read; records are never torn or lost."""

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

from palate.core.batch import IntArray


class ChangeLog:
    """Records (row, present, vector) in the order in which they were written; the last of a row counts.

    A record carries a checksum: one that a killed writer left unfinished is not valid, and the next writer cuts it off.

    Args:
        file: file of records.
        dim: width of the vectors.
    """

    def __init__(self, file: Path, dim: int) -> None:
        self.file = file
        self.dtype = np.dtype([("check", "<u4"), ("there", "<u4"), ("row", "<i8"), ("vector", "<f4", (dim,))])
        self._offset = 0

    def records(self, rows: IntArray, vectors: NDArray[np.float32] | None) -> NDArray[np.void]:
        """Records that put rows, or take them away.

        Args:
            rows: int64 [m].
            vectors: float32 [m, dim]; None takes the rows away.
        """
        records = np.zeros(len(rows), self.dtype)
        records["row"] = rows
        if vectors is not None:
            records["there"], records["vector"] = 1, vectors
        records["check"] = [_checksum(record) for record in records]
        return records

    def append(self, records: NDArray[np.void], handle: BinaryIO) -> None:
        """Write records, and wait until they are on disk.

        Args:
            records: records of :meth:`records`.
            handle: handle of :meth:`locked`.
        """
        end = handle.seek(0, os.SEEK_END) // self.dtype.itemsize
        while end and not self._valid(handle.fileno(), end - 1):
            end -= 1
        handle.truncate(end * self.dtype.itemsize)
        handle.seek(0, os.SEEK_END)
        handle.write(records.tobytes())
        handle.flush()
        os.fsync(handle.fileno())

    def read_new(self) -> NDArray[np.void]:
        """Records that were not read before."""
        with open(self.file, "rb") as handle:
            handle.seek(self._offset)
            data = handle.read()
        records = np.frombuffer(data[: len(data) // self.dtype.itemsize * self.dtype.itemsize], self.dtype)
        invalid = (place for place, record in enumerate(records) if _checksum(record) != record["check"])
        count = next(invalid, len(records))
        self._offset += count * self.dtype.itemsize
        return records[:count]

    @contextmanager
    def locked(self) -> Iterator[BinaryIO]:
        """The open file, which no other process writes meanwhile."""
        with open(self.file, "r+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle

    def _valid(self, descriptor: int, place: int) -> bool:
        data = os.pread(descriptor, self.dtype.itemsize, place * self.dtype.itemsize)
        record = np.frombuffer(data, self.dtype)[0]
        return bool(_checksum(record) == record["check"])


def _checksum(record: np.void) -> int:
    return zlib.crc32(record.tobytes()[4:])
