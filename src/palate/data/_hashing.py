"""Content hashes of table columns: equal exactly when type, values and gaps are equal, on any polars version."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl


def series_parts(values: pl.Series) -> Iterator[bytes | str]:
    """What to feed to a digest for one column; lengths go first so that no two columns share a byte string."""
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
