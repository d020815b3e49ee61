"""Hashes of table columns, the same on every machine and with every version of polars."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

_BASE = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def series_parts(values: pl.Series) -> Iterator[bytes | str]:
    """Bytes of a column for a digest: equal exactly when name, type, values and gaps are equal.

    Lengths go first, so that no two columns share a byte string.

    Args:
        values: the column.
    """
    yield f"{values.name}:{values.dtype}"
    if values.dtype.is_nested() or values.dtype == pl.Object:
        yield from series_parts(pl.Series("", [repr(value) for value in values.to_list()], dtype=pl.String))
    elif values.dtype in (pl.String, pl.Binary):
        size = values.str.len_bytes() if values.dtype == pl.String else values.bin.size()
        yield size.cast(pl.Int64).fill_null(-1).to_numpy().tobytes()
        raw = values.drop_nulls().cast(pl.Binary)
        for start in range(0, len(raw), 65536):
            yield b"".join(raw[start : start + 65536].to_list())
    elif values.dtype.is_numeric() and values.dtype not in (pl.Decimal, pl.Int128):
        yield np.packbits(values.is_null().to_numpy()).tobytes()
        yield np.ascontiguousarray(values.fill_null(0).to_numpy()).tobytes()
    else:
        yield from series_parts(values.cast(pl.String))


def hash_buckets(values: pl.Series, buckets: int, seed: int = 0) -> NDArray[np.int64]:
    """The bucket of each text: a polynomial hash of its UTF-8 bytes modulo 2^64, mixed, then modulo ``buckets``.

    Args:
        values: text without nulls.
        buckets: number of buckets.
        seed: two seeds give two independent hashes.

    Returns:
        int64 [n] in 0..buckets - 1.
    """
    raw = values.cast(pl.Binary)
    lengths = raw.bin.size().to_numpy().astype(np.int64)
    data = np.frombuffer(b"".join(raw.to_list()), np.uint8).astype(np.uint64)
    hashes = np.zeros(len(lengths), np.uint64)
    longest = int(lengths.max(initial=0))
    starts = np.cumsum(lengths) - lengths
    with np.errstate(over="ignore"):
        powers = np.full(longest + 1, _BASE)
        powers[0] = 1
        np.multiply.accumulate(powers, out=powers)
        place = np.arange(len(data)) - np.repeat(starts, lengths)
        filled = np.flatnonzero(lengths)
        if len(filled):
            hashes[filled] = np.add.reduceat((data + np.uint64(1)) * powers[place], starts[filled])
        hashes = (hashes + lengths.astype(np.uint64) + np.uint64(seed + 1)) * _MIX
        hashes ^= hashes >> np.uint64(29)
        hashes = hashes * np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(32)
    out: NDArray[np.int64] = (hashes % np.uint64(buckets)).astype(np.int64)
    return out
