"""Times of a log as integer seconds, from any unit, format or zone."""

from __future__ import annotations

import polars as pl

from palate.core.errors import DataError

_TIMES = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%m/%d/%Y %I:%M:%S %p",
)
_MILLI, _MICRO, _NANO = 10**11, 10**14, 10**17


def parse_times(values: pl.Series, file: str | None) -> pl.Series:
    """Times as int64 seconds since 1970 UTC; zones may be mixed, a time without a zone is UTC.

    The unit of a number follows from its size, row by row: 1e11 and more are milliseconds, 1e14 micro, 1e17 nano.

    Args:
        values: dates, times, text or numbers.
        file: the file they were read from, for error messages.

    Raises:
        DataError: naming the row of a value that cannot be read or is negative.
    """
    if values.dtype in (pl.Datetime, pl.Date):
        numbers = values.dt.epoch("s").cast(pl.Int64)
    elif values.dtype == pl.String:
        text = values.str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False).floor().cast(pl.Int64, strict=False)
        exact = text.cast(pl.Int64, strict=False)
        numbers = exact.fill_null(numbers)
        for form in _TIMES:
            if numbers.null_count() <= values.null_count():
                break
            parsed = text.str.to_datetime(form, strict=False, time_zone="UTC", time_unit="us")
            numbers = numbers.fill_null(parsed.dt.epoch("s"))
    elif values.dtype.is_integer():
        numbers = values.cast(pl.Int64, strict=False)
    else:
        numbers = cast_or_null(values, pl.Float64()).floor().cast(pl.Int64, strict=False)
    reject_rows((numbers.is_null() & values.is_not_null()) | (numbers < 0).fill_null(False), values, "not a time", file)
    frame = pl.DataFrame({"t": numbers})
    per_second = pl.when(pl.col("t") >= _NANO).then(10**9).when(pl.col("t") >= _MICRO).then(10**6)
    return frame.select(pl.col("t") // per_second.when(pl.col("t") >= _MILLI).then(1000).otherwise(1))["t"]


def cast_or_null(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """``values`` as ``dtype``, null where they do not fit; all null if the types cannot be converted at all.

    Args:
        values: the column.
        dtype: the type wanted.
    """
    try:
        return values.cast(dtype, strict=False)
    except pl.exceptions.PolarsError:
        return pl.Series(values.name, [None] * len(values), dtype=dtype)


def reject_rows(bad: pl.Series, values: pl.Series, message: str, file: str | None) -> None:
    """Raise an error for the first bad row, if there is one.

    Args:
        bad: bool [n].
        values: the column.
        message: what is wrong with the value.
        file: the file it was read from.

    Raises:
        DataError: naming row, column and value.
    """
    rows = bad.arg_true()
    if len(rows):
        at = int(rows[0])
        raise DataError(f"{message}: {values[at]!r}", file=file, row=at + 1, column=values.name)
