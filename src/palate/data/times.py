"""Times of a log as integer seconds; unit, order of day and month, and form belong to the whole column."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from palate.core.errors import DataError
from palate.data.invisible import trim_texts
from palate.data.time_spelling import placeholder_note, placeholders, plain_numbers, respell

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ISO = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%dT%H%M%S",
)
_NAMED = (
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %z %Y",
    "%d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d %Y %H:%M:%S",
    "%b %d %Y %H:%M",
    "%b %d %Y",
    "%d %B %Y",
    "%B %d %Y",
    "%b %d %Y %I:%M:%S %p",
    "%b %d %Y %I:%M %p",
    "%d/%b/%Y:%H:%M:%S %z",
    "%m %d %Y",
    "%d-%b-%y %I.%M.%S%.f %p",
    "%d-%b-%Y %I.%M.%S%.f %p",
    "%a %b %d %Y %H:%M:%S %z",
    "%a %b %d %Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%y %H:%M:%S",
)
CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_SLASHED = r"^(\d{1,2})[/.\-](\d{1,2})[/.\-](\d{4}|\d{2})\b"
CLOCK_ONLY = r"^\s*\d{1,2}:\d{2}"
_ZONE = r"(?i)\s*(?:\bUTC|\bGMT|\bZ)(?:[+]0+)?$"
_MILLI, _MICRO, _NANO = 10**11, 10**14, 10**17
_EXCEL_EPOCH, DAY, _PIVOT = 25_569, 86_400, 70
_CYCLES = (6, 7, 11, 12, 23, 24, 30, 31)
"""Largest number of a day of the week, a month, an hour and a day of the month."""
_1973, _1980, _YEAR_1000 = 10**8, 315_532_800, -30_610_224_000


@dataclass(frozen=True)
class TimeColumn:
    """A column of times.

    Attributes:
        seconds: int64 [n] since 1970 UTC, null where absent.
        form: what the values were taken for, for a note; empty for seconds and ISO dates.
        doubt: what the values alone do not show, such as whether the day or the month comes first; empty if nothing.
        absent: dates that stand for none, for a note; empty without them.
    """

    seconds: pl.Series
    form: str = ""
    doubt: str = ""
    absent: str = ""


def parse_times(values: pl.Series, file: str | None, time_format: str | None = None) -> pl.Series:
    """Times as int64 seconds since 1970 UTC, see :func:`read_times`.

    Args:
        values: dates, times, text or numbers.
        file: the file they were read from, for error messages.
        time_format: how they are written, where it is not to be guessed.

    Raises:
        DataError: naming the row of a value that cannot be read or is negative.
    """
    return read_times(values, file, time_format).seconds


def read_times(values: pl.Series, file: str | None, time_format: str | None = None) -> TimeColumn:
    """Times as int64 seconds since 1970 UTC; zones may be mixed, a time without a zone is UTC.

    Numbers: dates of eight digits (20200131), of 12 or 14 digits with a clock, and of six (202001) where every value
    is one; years from 1900 to 2100; days of Excel between 1982 and 2064; else seconds, or milli-, micro- or
    nanoseconds where the largest is 1e11, 1e14 or 1e17 and more. Everything applies to the column as a whole, so the
    order of its values is kept.

    Args:
        values: dates, times, text or numbers.
        file: the file they were read from, for error messages.
        time_format: ``s``, ``ms``, ``us``, ``ns``, ``excel``, ``year``, ``counter``, or a form as of ``strptime``.

    Raises:
        DataError: naming the row of a value that cannot be read or is negative.
    """
    values = values.fill_nan(None) if values.dtype.is_float() else values
    empty = placeholders(values)
    if empty.any():
        values = values.set(empty, None)
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        found = TimeColumn(values.dt.epoch("s").cast(pl.Int64))
    elif values.dtype in (pl.Time, pl.Duration) or isinstance(values.dtype, pl.Duration):
        first = next((row for row, value in enumerate(values, 1) if value is not None), None)
        hint = "give the date as well, or name another column as time"
        raise DataError("a time of day or a duration is no date", file=file, row=first, column=values.name, hint=hint)
    elif values.dtype == pl.String:
        found = _texts(trim_texts(values).replace("", None), time_format)
    elif values.dtype.is_integer():
        found = _numbers(values.cast(pl.Int64, strict=False), time_format)
    else:
        floats = cast_or_null(values, pl.Float64())
        found = _numbers(floats.set(floats.is_infinite(), None), time_format)
    seconds = found.seconds.alias(values.name)
    wrong = (seconds.is_null() & values.is_not_null()) | (seconds < 0).fill_null(False)
    clock = values.dtype == pl.String and bool(values.filter(wrong).head(1).str.contains(CLOCK_ONLY).any())
    message = "not a time (a time of day without its date)" if clock else "not a time"
    if wrong.any() and seconds[int(wrong.arg_true()[0])] is not None:
        message = "not a time (before 1970)"
    reject_rows(wrong, values, message, file, _hint(time_format))
    doubt = "; ".join(filter(None, (found.doubt, _odd_zeros(seconds))))
    return TimeColumn(seconds, found.form, doubt, placeholder_note(empty))


def _odd_zeros(seconds: pl.Series) -> str:
    """A word on zeros beside times that are all of 1980 or later; empty if there are none."""
    zeros = int((seconds == 0).sum())
    rest = seconds.filter(seconds != 0).min() if zeros else None
    if not isinstance(rest, int) or rest < _1980:
        return ""
    return f"{zeros} of the times are 0, which is 1970, and all others are of 1980 or later; leave unknown times empty"


def looks_like_time(values: pl.Series) -> bool:
    """Whether a column of a log may be its time: dates, texts of dates, or numbers in the range of recent times.

    Args:
        values: the column.
    """
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        return True
    present = values.drop_nulls()
    if not len(present):
        return False
    if values.dtype == pl.String:
        return date_share(present.head(1000)) >= 0.9
    if values.dtype.is_integer():
        low, high = int(present.min()), int(present.max())  # type: ignore[arg-type]
        recent = any(631_152_000 * u <= low and high <= 4_102_444_800 * u for u in UNITS.values())
        return recent or _eight_digits(present.cast(pl.Int64, strict=False)) is not None
    return False


def date_share(texts: pl.Series) -> float:
    """The share of texts that are a date; bare numbers are none.

    Args:
        texts: without nulls.
    """
    if not len(texts):
        return 0.0
    dated = texts.filter(~texts.str.contains(r"^[+-]?\d*\.?\d*$"))
    read = _texts(dated, None).seconds
    return float(len(read) - read.null_count()) / len(texts)


def date_seconds(values: pl.Series) -> pl.Series:
    """Dates as int64 seconds since 1970 UTC, negative before; null where there is none, or none that can be read.

    Args:
        values: dates, times, or texts of them.
    """
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        return values.cast(pl.Datetime("us")).dt.epoch("s")
    return _texts(values, None).seconds


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


def reject_rows(bad: pl.Series, values: pl.Series, message: str, file: str | None, hint: str | None = None) -> None:
    """Raise an error for the first bad row, if there is one.

    Args:
        bad: bool [n].
        values: the column.
        message: what is wrong with the value.
        file: the file it was read from.
        hint: what to do.

    Raises:
        DataError: naming row, column and value.
    """
    rows = bad.arg_true()
    if len(rows):
        at = int(rows[0])
        raise DataError(f"{message}: {values[at]!r}", file=file, row=at + 1, column=values.name, hint=hint)


def _hint(time_format: str | None) -> str:
    if time_format:
        return f"time_format is {time_format!r}"
    return (
        "write dates as 2020-01-31, or name their form in palate.yaml (interactions: {time_format: '%d.%m.%Y'}); "
        "time: null if the column is no time"
    )


def _numbers(values: pl.Series, time_format: str | None) -> TimeColumn:
    """Times written as numbers."""
    if values.dtype.is_float():
        values = values.set(values.abs() >= 2.0**63, None)
    known = values.drop_nulls()
    whole = values.dtype.is_integer() or bool((known.floor() == known).all())
    if time_format == "counter" or not len(known):
        return TimeColumn(_floor(values))
    if time_format in UNITS:
        return TimeColumn(_floor(values, UNITS[time_format]))
    if time_format and "%" in time_format:
        return _texts(_floor(values).cast(pl.String), time_format)
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    integers = _floor(values)
    if whole and time_format is None and (dates := _eight_digits(integers)) is not None:
        return dates
    if time_format == "year" or (time_format is None and whole and low >= 1900 and high <= 2100):
        return TimeColumn(parse_form(integers.cast(pl.String) + "-01-01", "%Y-%m-%d"), "years")
    if time_format == "excel" or (time_format is None and low >= 30_000 and high <= 60_000):
        days = values.cast(pl.Float64) - _EXCEL_EPOCH
        return TimeColumn((days * DAY).round().cast(pl.Int64), "days of Excel")
    for name, limit in (("ns", _NANO), ("us", _MICRO), ("ms", _MILLI)):
        if high >= limit:
            doubt = ""
            if 0 <= low < _MILLI <= 631_152_000 * UNITS[name] <= high and low >= 631_152_000:
                doubt = f"the largest value is in {name}, the smallest would be in seconds; all are read as {name}"
            doubt = doubt or _small_numbers(known, low, high, whole)[1]
            return TimeColumn(_floor(values, UNITS[name]), f"in {name}", doubt)
    return TimeColumn(integers, *_small_numbers(known, low, high, whole))


def _small_numbers(known: pl.Series, low: float, high: float, whole: bool) -> tuple[str, str]:
    """Form and doubt of numbers that are no seconds of recent years."""
    if high >= _1973:
        step = 10 ** max(len(f"{high:.0f}") - 6, 1)
        if not known.dtype.is_float() or not whole or len(known) < 2 or not (known % step == 0).all():
            return "", ""
        return "", "all times end in zeros: a spreadsheet may have shortened them, as 1.60946E+09"
    if low in (0, 1) and high in _CYCLES and len(known) >= 20:
        return "a counter", (
            f"values from {low:g} to {high:g} may be hours or days of the week or month, which are no times; they are "
            "taken as a counter"
        )
    return "a counter, of which only the order matters", ""


def _floor(values: pl.Series, divisor: int = 1) -> pl.Series:
    if values.dtype.is_integer():
        return values.cast(pl.Int64, strict=False) // divisor
    return (values.cast(pl.Float64) / divisor).floor().cast(pl.Int64, strict=False)


def _eight_digits(values: pl.Series) -> TimeColumn | None:
    """Dates written as one number, such as 20200131, where every value is one; else None."""
    known = values.drop_nulls()
    if not len(known):
        return None
    low, high = int(known.min()), int(known.max())  # type: ignore[arg-type]
    for digits, form in ((6, "%Y%m%d"), (8, "%Y%m%d"), (12, "%Y%m%d%H%M"), (14, "%Y%m%d%H%M%S")):
        scale = 10 ** (digits - 4)
        if not (1900 * scale <= low and high < 2101 * scale):
            continue
        text = values.cast(pl.String) + ("01" if digits == 6 else "")
        seconds = parse_form(text, form)
        if seconds.null_count() == values.null_count():
            return TimeColumn(seconds, f"dates such as {low}")
    return None


def _texts(text: pl.Series, time_format: str | None) -> TimeColumn:
    """Times written as text; what no form fits is null."""
    if time_format and "%" in time_format:
        return TimeColumn(parse_form(text, time_format))
    numeric = plain_numbers(text).cast(pl.Float64, strict=False)
    numeric = numeric.set(numeric.is_nan() | numeric.is_infinite(), None)
    if len(text) > text.null_count() and 2 * (len(numeric) - numeric.null_count()) >= len(text) - text.null_count():
        exact = plain_numbers(text).cast(pl.Int64, strict=False)
        whole = exact.null_count() == numeric.null_count()
        return _numbers(exact if whole else numeric, time_format)
    text = text.str.replace(_ZONE, "").str.replace_all(r"\s+", " ")
    seconds = pl.Series(text.name, [None] * len(text), dtype=pl.Int64)
    for form in _ISO:
        if seconds.null_count() <= text.null_count():
            return TimeColumn(seconds)
        seconds = seconds.fill_null(_iso(text, form))
    if seconds.null_count() > text.null_count() and not (spelled := respell(text)).equals(text):
        text = spelled
        for form in _ISO:
            seconds = seconds.fill_null(_iso(text, form))
    weeks = text.str.extract(r"^(\d{4}-?W\d{2})$").str.replace("-", "")
    seconds = seconds.fill_null(parse_form(weeks + "-1", "%GW%V-%u"))
    slashed = _slashed(text.set(seconds.is_not_null(), None))
    seconds = seconds.fill_null(slashed.seconds)
    if seconds.null_count() > text.null_count():
        words = text.str.replace_all(",", "", literal=True).str.replace_all(r"(\d)(?:st|nd|rd|th)\b", "$1")
        for form in _NAMED:
            seconds = seconds.fill_null(parse_form(text if "," in form else words, form))
    if seconds.null_count() > text.null_count():
        rest = _numbers(numeric.set(seconds.is_not_null(), None), None).seconds
        seconds = seconds.fill_null(rest)
    return TimeColumn(seconds, slashed.form, slashed.doubt)


def _slashed(text: pl.Series) -> TimeColumn:
    """Dates of two numbers and a year; the column shows whether the day or the month comes first."""
    groups = text.str.extract_groups(_SLASHED)
    first, second, year = (groups.struct.field(str(at)) for at in (1, 2, 3))
    first_high = int(first.cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    second_high = int(second.cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    empty = pl.Series(text.name, [None] * len(text), dtype=pl.Int64)
    if not first_high:
        return TimeColumn(empty)
    years, year_first = _short_years(first, year)
    if year_first:
        first, year = year, first
        first_high = int(first.cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    american = bool(text.str.contains(r"(?i)\b[AP]M$").any())
    month_first = second_high > 12 or (american and first_high <= 12)
    rest = text.str.replace(_SLASHED, "").str.replace(r"^[ ,T]+", " ")
    short = year.str.zfill(2)
    past = short.cast(pl.Int64) >= _PIVOT
    long = year.str.len_chars() > 2
    century = pl.when(long).then(year).when(past).then(pl.lit("19") + short).otherwise(pl.lit("20") + short)
    months, days = (first, second) if month_first else (second, first)
    parts = pl.DataFrame({"y": pl.select(century).to_series(), "m": months, "d": days, "rest": rest})
    iso = parts.select(
        pl.col("y") + "-" + pl.col("m").str.zfill(2) + "-" + pl.col("d").str.zfill(2) + pl.col("rest")
    ).to_series()
    seconds = empty
    for clock in CLOCKS:
        seconds = seconds.fill_null(parse_form(iso, "%Y-%m-%d" + clock))
    form = "year first" if year_first else "month first" if month_first else "day first"
    sure = not year_first and (month_first or bool(text.str.contains(r"^\d+\.").any()))
    doubt = "" if sure else years
    if not doubt and first_high <= 12 and second_high <= 12 and not american:
        doubt = "no value shows whether the day or the month comes first; the day is taken to"
    return TimeColumn(seconds, form, doubt)


def _short_years(first: pl.Series, last: pl.Series) -> tuple[str, bool]:
    """For dates of three short numbers, a word on which is the year, and whether it is the first."""
    if not (last.drop_nulls().str.len_chars() == 2).all():
        return "", False
    one, other = first.cast(pl.Int64), last.cast(pl.Int64)
    highs = int(one.max() or 0), int(other.max() or 0)  # type: ignore[arg-type]
    if max(highs) > 31:
        return "", highs[0] > 31
    before = one.n_unique() < other.n_unique()
    return f"years have two digits: the {'first' if before else 'last'} number is taken to be the year", before


def _iso(text: pl.Series, form: str) -> pl.Series:
    """As :func:`_strptime`, for years of four digits: 01-03-21 is no date of the year 1."""
    seconds = parse_form(text, form)
    return seconds.set((seconds < _YEAR_1000).fill_null(False), None)


def parse_form(text: pl.Series, form: str) -> pl.Series:
    """Seconds since 1970 of texts in one form, null for other texts.

    Args:
        text: times.
        form: as of ``strptime``.
    """
    clock = any(sign in form for sign in ("%H", "%I", "%T", "%X", "%c", "%s"))
    try:
        if clock:
            parsed = text.str.to_datetime(form, strict=False, time_zone="UTC", time_unit="us")
            return parsed.dt.epoch("s").cast(pl.Int64)
        return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.epoch("s").cast(pl.Int64)
    except pl.exceptions.PolarsError:
        return pl.Series(text.name, [None] * len(text), dtype=pl.Int64)
