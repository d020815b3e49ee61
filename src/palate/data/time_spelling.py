"""Texts of times in other words: zones by name, months in numbers, placeholders of databases, separators of numbers."""

from __future__ import annotations

import polars as pl

_ZONES = {
    "CET": "+0100", "CEST": "+0200", "EET": "+0200", "EEST": "+0300", "WET": "+0000", "WEST": "+0100", "MSK": "+0300",
    "JST": "+0900", "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600",
    "PST": "-0800", "PDT": "-0700",
}  # fmt: skip
_SPELLINGS = (
    (r"^\[(.*)\]$", "$1"),
    (r"\s*(?:\([^()]*\)|\[[A-Za-z_/+\-]+\])$", ""),
    (r"\b(?:GMT|UTC)([+-]\d)", "$1"),
    (r"(?i)\b([ap])\.\s?m\.?(?:\b|$)", "${1}m"),
    (r"^(\d{4})年(\d{1,2})月(\d{1,2})日", "$1-$2-$3"),
    (r"(\d{1,2})[时時](\d{1,2})分(?:(\d{1,2})秒)?$", "$1:$2:${3}"),
    (r":$", ""),
    (r"(?i)\s+(?:um|at|à|a las|om|kl\.?)\s+(\d)", " $1"),
    (r"(?i)\s+uhr$", ""),
    (r"^(\d{4})[-/.](\d{1,2})$", "$1-$2-01"),
    *((rf"\s*\b{name}$", f" {offset}") for name, offset in _ZONES.items()),
)
"""Patterns and what they are replaced by, where no form fits a text as it is."""
_PLACEHOLDER = (
    r"^(?:0000-00-00|0001-01-01|1753-01-01|1899-12-3[01]|1900-01-01|9999-12-31|00[/.]00[/.]0000|0?1[/.]0?1[/.](?:0001|1900)"
    r"|30[/.]12[/.]1899|12/30/1899|31[/.]12[/.]9999|12/31/9999)(?:\D|$)"
)


def respell(text: pl.Series) -> pl.Series:
    """Texts of times as the usual forms write them, where one of many patterns finds how they are written otherwise.

    Args:
        text: times that no form fits.
    """
    for pattern, other in _SPELLINGS:
        text = text.str.replace(pattern, other)
    return text


def plain_numbers(text: pl.Series) -> pl.Series:
    """Texts of numbers without separators of thousands and with a decimal point.

    Args:
        text: numbers.
    """
    first = text.drop_nulls().head(1)
    if not len(first) or not first.str.contains(r"^\d+[,.']\d").any():
        return text
    if first.str.contains(r"^\d{1,3}(?:[,.']\d{3}){2,}$").any():
        return text.str.replace_all(r"[,.']", "")
    return text.str.replace(r"^(\d+),(\d+)$", "$1.$2")


def placeholders(values: pl.Series) -> pl.Series:
    """bool [n]: dates that databases write where there is none.

    Args:
        values: the column.
    """
    if values.dtype == pl.String:
        return values.str.contains(_PLACEHOLDER).fill_null(False)
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        years = values.dt.year()
        first = (years == 1900) & (values.dt.ordinal_day() == 1)
        return (years.is_in([1, 1753, 9999]) | first).fill_null(False)
    return pl.repeat(False, len(values), eager=True)


def placeholder_note(empty: pl.Series) -> str:
    """A word on dates that stand for none; empty without them.

    Args:
        empty: as of :func:`placeholders`.
    """
    count = int(empty.sum())
    return f"{count} of the dates stand for none, such as 0000-00-00 or 9999-12-31, and are absent" if count else ""
