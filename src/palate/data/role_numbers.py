"""Ratings and weights as numbers, also where they are written as words: ``4,5``, ``8/10``, ``★★★☆☆``, ``5 stars``."""

from __future__ import annotations

import polars as pl

from palate.data.numbers_in_text import number_column
from palate.data.times import cast_or_null

_STARS = r"^[★⭐]+[☆✩✰]*$"
_OUT_OF = r"(?i)^(\d+(?:[.,]\d+)?)\s*(?:/|out of|von|sur|de|di|van|из)\s*(\d+)$"


def role_numbers(values: pl.Series) -> tuple[pl.Series, bool]:
    """A column as float64, null for what is no number; and whether its texts were read in another way than as numbers.

    Stars are counted, and of a fraction the upper number is taken where all have the same lower one.

    Args:
        values: the column.
    """
    numbers = cast_or_null(values, pl.Float64())
    if values.dtype != pl.String or numbers.null_count() == values.null_count():
        return numbers, False
    text = values.str.strip_chars()
    present = text.drop_nulls()
    if present.str.contains(_STARS).all():
        return text.str.count_matches("[★⭐]").cast(pl.Float64), True
    parts = text.str.extract_groups(_OUT_OF)
    upper, lower = parts.struct.field("1"), parts.struct.field("2")
    if upper.null_count() == values.null_count() and lower.drop_nulls().n_unique() == 1:
        return upper.str.replace(",", ".", literal=True).cast(pl.Float64).alias(values.name), True
    read = number_column(values, share=1.0)
    return (numbers, False) if read is None or read.unread.any() or read.ambiguous else (read.values, True)
