"""One batch of encoded content as one file, complete or absent, and verified when it is read.

A segment is a safetensors file (``values``, and ``lengths`` for tokens). Its metadata lists the content hashes in
order, what is absent and why, and a checksum over all of it.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features, Kind
from palate.core.errors import ArtefactError
from palate.core.files import atomic_path, digest

FORMAT = "palate-features-1"
SUFFIX = ".safetensors"
MIN_MAPPED = 2**20
"""Bytes from which values are mapped into memory rather than read."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Encoded content by hash.

    Attributes:
        keys: content hashes, in row order.
        values: pooled [n, d], map [n, C, H, W], or tokens [sum of lengths, d]; memory-mapped when read from a file.
        lengths: int64 [n] for tokens, else None.
        absent: row -> reason ("" where nothing in the content is known to the encoder).
        kind: of the features.
    """

    keys: list[str]
    values: NDArray
    lengths: NDArray[np.int64] | None
    absent: Mapping[int, str]
    kind: Kind

    @classmethod
    def of(cls, keys: Sequence[str], features: Features, reasons: Mapping[int, str], dtype: np.dtype) -> Segment:
        """A segment of what an encoder returned.

        Args:
            keys: content hashes, in row order.
            features: of the same rows.
            reasons: row -> why it could not be encoded.
            dtype: of the values that are kept.
        """
        absent = {int(row): reasons.get(int(row), "") for row in np.flatnonzero(~features.present)}
        values = np.ascontiguousarray(features.values, dtype=dtype)
        return cls(list(keys), values, features.lengths, absent, features.kind)

    def write(self, folder: Path) -> Path:
        """Write under a new name; the file appears complete or not at all.

        Args:
            folder: of the encoder in the store.

        Returns:
            The file.

        Raises:
            ArtefactError: if it cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        tensors: dict[str, Any] = {"values": self.values}
        if self.lengths is not None:
            tensors["lengths"] = self.lengths
        index = json.dumps(
            {"keys": self.keys, "absent": {str(k): v for k, v in self.absent.items()}, "kind": self.kind}
        )
        metadata = {"format": FORMAT, "index": index, "checksum": _checksum(index, self.values, self.lengths)}
        path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            # waiting for the disk would take longer than most batches, and every reader checks every byte
            with atomic_path(path, sync=False) as temporary:
                save_file(tensors, str(temporary), metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise ArtefactError(f"features cannot be written ({error})", file=path) from error
        return path

    @classmethod
    def read(cls, path: Path) -> Segment:
        """Map a segment into memory after checking every byte of it.

        Args:
            path: of the file.

        Raises:
            ArtefactError: if the file is truncated, altered, or no segment.
        """
        metadata, entries, start = _header(path)
        if metadata.get("format") != FORMAT:
            raise ArtefactError(f"not a feature segment (format {metadata.get('format')!r})", file=path)
        try:
            index = json.loads(metadata["index"])
            keys, kind = [str(key) for key in index["keys"]], index["kind"]
            absent = {int(row): str(reason) for row, reason in index["absent"].items()}
            values = _mapped(path, entries["values"], start)
            lengths = np.array(_mapped(path, entries["lengths"], start)) if "lengths" in entries else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtefactError(f"a damaged feature segment ({type(error).__name__})", file=path) from error
        if metadata.get("checksum") != _checksum(metadata["index"], values, lengths):
            raise ArtefactError("a damaged feature segment (checksum differs)", file=path)
        rows = len(values) if lengths is None else len(lengths)
        if rows != len(keys) or (lengths is not None and int(lengths.sum()) != len(values)):
            raise ArtefactError("a damaged feature segment (sizes disagree)", file=path)
        return cls(keys, values, lengths, absent, kind)


_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


def _header(path: Path) -> tuple[dict[str, str], dict[str, Any], int]:
    from safetensors import SafetensorError, safe_open

    try:
        # The library checks the header: its length, overlapping or missing ranges, unknown types.
        with safe_open(str(path), framework="np") as file:
            metadata = dict(file.metadata() or {})
        with open(path, "rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            entries = json.loads(handle.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtefactError(f"not a readable feature segment ({str(error)[:200]})", file=path) from error
    return metadata, entries, 8 + size


def _mapped(path: Path, entry: Mapping[str, Any], start: int) -> NDArray:
    dtype, shape = _DTYPES[entry["dtype"]], tuple(int(size) for size in entry["shape"])
    if 0 in shape:
        return np.zeros(shape, dtype)
    offset = start + int(entry["data_offsets"][0])
    if dtype.itemsize * math.prod(shape) < MIN_MAPPED:
        # a map holds its file open, and a service that adds items one by one has a segment for each
        small: NDArray = np.fromfile(path, dtype, math.prod(shape), offset=offset).reshape(shape)
        small.flags.writeable = False
        return small
    mapped: NDArray = np.memmap(path, dtype, "r", offset, shape)
    return mapped


def _checksum(index: str, values: NDArray, lengths: NDArray[np.int64] | None) -> str:
    shape = f"{values.dtype.str}{values.shape}"
    tail = b"" if lengths is None else np.ascontiguousarray(lengths, "<i8").tobytes()
    return digest(index, shape, values.tobytes(), tail)
