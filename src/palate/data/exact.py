"""Casts that lose nothing: a value that would come out changed is refused with its row."""

from __future__ import annotations

import polars as pl

from palate.core.errors import DataError

_BOOLEANS = ("true", "false")


def exact_cast(values: pl.Series, dtype: pl.DataType, file: str | None = None) -> pl.Series:
    """A column in another type.

    Args:
        values: the column.
        dtype: the type wanted.
        file: where it was read from, for error messages.

    Raises:
        DataError: naming the row of the first value that the type cannot hold as it is: a fraction or more than 2**53
            among whole numbers, a number as a Boolean, text that is no number.
    """
    if values.dtype == dtype or dtype == pl.Null:
        return values
    cast = _cast(values, dtype)
    if cast is None:
        raise DataError(f"expected {dtype}, got {values.dtype}", file=file, column=values.name or None)
    bad = ((cast.is_null() & values.is_not_null()) | _changed(values, cast)).arg_true()
    if len(bad):
        at = int(bad[0])
        raise DataError(f"{values[at]!r} is not {dtype}", file=file, row=at + 1, column=values.name or None)
    return cast


def is_exact(values: pl.Series, dtype: pl.DataType) -> bool:
    """Whether every value of a column can be cast without loss.

    Args:
        values: the column.
        dtype: the type.
    """
    try:
        exact_cast(values, dtype)
    except DataError:
        return False
    return True


def common_number_type(old: pl.Series, new: pl.Series) -> pl.DataType | None:
    """The type to which a column of whole numbers is widened so that it holds fractions; None if it need not be.

    Args:
        old: the column.
        new: values that are to join it.
    """
    if old.dtype == pl.Null:
        return new.dtype if new.dtype != pl.Null else None
    fractions = new.dtype.is_float() or new.dtype == pl.String
    if not old.dtype.is_integer() or not fractions or is_exact(new, old.dtype) or not is_exact(new, pl.Float64()):
        return None
    return pl.Float64() if is_exact(old, pl.Float64()) else None


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    if dtype == pl.Boolean and values.dtype == pl.String:
        lower = values.str.strip_chars().str.to_lowercase()
        return (lower == "true").set((~lower.is_in(list(_BOOLEANS))).fill_null(False), None)
    if dtype == pl.Boolean or (values.dtype == pl.Boolean and dtype.is_numeric()):
        return pl.Series(values.name, [None] * len(values), dtype) if values.dtype.is_numeric() else None
    try:
        return (values.str.strip_chars() if values.dtype == pl.String and dtype != pl.String else values).cast(
            dtype, strict=False
        )
    except pl.exceptions.PolarsError:
        return None


def _changed(values: pl.Series, cast: pl.Series) -> pl.Series:
    """bool [n]: where a cast value differs from the one it was made of."""
    same = pl.repeat(False, len(values), eager=True)
    if values.dtype == pl.String:
        if not cast.dtype.is_integer():
            return same
        text = values.str.strip_chars().str.strip_prefix("+")
        return (cast.cast(pl.String) != text).fill_null(False)
    if not values.dtype.is_numeric() or not cast.dtype.is_numeric():
        return same
    try:
        return (cast.cast(values.dtype, strict=False).ne_missing(values)) & cast.is_not_null()
    except pl.exceptions.PolarsError:
        return same
