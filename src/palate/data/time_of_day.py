"""Times of day and dates in columns of their own, and columns that have the name of a time and are none."""

from __future__ import annotations

import polars as pl

from palate.data.column_names import squash
from palate.data.invisible import trim_texts
from palate.data.times import CLOCK_ONLY, CLOCKS, DAY, date_seconds, date_share, looks_like_time, parse_form

_DURATIONS = (
    *("watch_time", "view_time", "read_time", "listen_time", "play_time", "dwell_time", "visit_time"),
    *("session_time", "reading_time"),
)
CLOCK_WORDS = frozenset(["time", "clock", "hour", "hours", "uhrzeit", "zeit", "heure", "hora", "ora", "tijd"])
"""Words in the names of columns that hold a time of day."""


def clock_seconds(values: pl.Series) -> pl.Series:
    """Times of day as int64 seconds since midnight; null where there is none.

    Args:
        values: text such as ``14:05``, times, or whole hours.
    """
    if values.dtype == pl.Time:
        return (values.cast(pl.Int64) // 10**9).alias(values.name)
    if values.dtype.is_integer():
        return (values.cast(pl.Int64).set(~values.is_between(0, 23).fill_null(False), None) * 3600).alias(values.name)
    if values.dtype != pl.String:
        return pl.Series(values.name, [None] * len(values), dtype=pl.Int64)
    dated = pl.lit("1970-01-01 ") + pl.Series(trim_texts(values))
    text = pl.select(dated).to_series().str.replace(r"(?i)\b([ap])\.\s?m\.?$", "${1}m").str.to_uppercase()
    seconds = pl.Series(values.name, [None] * len(values), dtype=pl.Int64)
    for clock in CLOCKS[1:]:
        seconds = seconds.fill_null(parse_form(text, "%Y-%m-%d" + clock))
    return seconds.alias(values.name)


def is_clock(values: pl.Series) -> bool:
    """Whether a column holds times of day without dates.

    Args:
        values: the column.
    """
    if values.dtype == pl.Time:
        return values.null_count() < len(values)
    present = values.drop_nulls().head(1000)
    if values.dtype != pl.String or not len(present):
        return False
    return bool(present.str.contains(CLOCK_ONLY).all()) and clock_seconds(present).null_count() == 0


def is_whole_days(values: pl.Series) -> bool:
    """Whether a column holds dates without a time of day.

    Args:
        values: the column.
    """
    if values.dtype == pl.Date:
        return True
    present = values.drop_nulls().head(1000)
    if not len(present) or not (values.dtype in (pl.String,) or isinstance(values.dtype, pl.Datetime)):
        return False
    seconds = date_seconds(present)
    return seconds.null_count() == 0 and bool((seconds % DAY == 0).all())


def is_duration(values: pl.Series) -> bool:
    """Whether a column is called as durations are, such as ``watch_time``, and holds small numbers.

    Args:
        values: the column.
    """
    named = squash(values.name) in map(squash, _DURATIONS)
    return named and values.dtype.is_numeric() and not looks_like_time(values)


def may_be_time(values: pl.Series) -> bool:
    """Whether a column with the name of a time can be one: no time of day, no duration, no words.

    Args:
        values: the column.
    """
    if values.dtype == pl.Time or isinstance(values.dtype, pl.Duration) or is_clock(values):
        return False
    if is_duration(values):
        return False
    if values.dtype != pl.String:
        return True
    present = values.drop_nulls().head(1000)
    return date_share(present) >= 0.5 or 2 * present.cast(pl.Float64, strict=False).null_count() <= len(present)
