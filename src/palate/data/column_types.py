"""Types of the columns of a table that was read as text; spellings that a type would change are kept."""

from __future__ import annotations

import polars as pl

_SAMPLE = 1000
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_LEADING_ZERO = r"^\s*[+-]?0\d"


def typed_column(text: pl.Series) -> pl.Series:
    """A text column as whole numbers, numbers or booleans if every value is one, else as it is.

    Numbers with leading zeros, and whole numbers beyond 64 bits, are codes and stay text.

    Args:
        text: the column; absent values are null.
    """
    head = text.drop_nulls().head(_SAMPLE)
    if not len(head):
        return text
    if head.is_in([*_TRUE, *_FALSE]).all() and text.drop_nulls().is_in([*_TRUE, *_FALSE]).all():
        return text.is_in(list(_TRUE))
    for dtype in (pl.Int64, pl.Float64):
        if head.str.strip_chars().cast(dtype, strict=False).null_count():
            continue
        trimmed = text.str.strip_chars()
        numbers = trimmed.cast(dtype, strict=False)
        if numbers.null_count() > text.null_count():
            continue
        return text if _is_code(trimmed, numbers) else numbers
    return text


def keeps_spelling(text: pl.Series, values: pl.Series) -> bool:
    """Whether the text of a column can be written again from its typed values.

    Args:
        text: the column as text.
        values: the column as :func:`typed_column` gives it.
    """
    if values.dtype == pl.String:
        return True
    return values.dtype == pl.Int64 and bool((values.cast(pl.String) == text).all())


def _is_code(text: pl.Series, numbers: pl.Series) -> bool:
    if text.str.contains(_LEADING_ZERO).any():
        return True
    large = numbers.dtype == pl.Float64 and bool((numbers.abs() >= 2.0**63).any())
    return large and bool(text.str.contains(r"^\s*[+-]?\d{19,}$").any())
