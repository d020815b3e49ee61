"""pandas tables as polars, with errors that name column and row."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import polars as pl

from palate.core.errors import DataError


def from_pandas(frame: Any) -> pl.DataFrame:
    """A pandas table as a polars table.

    Args:
        frame: a pandas DataFrame.

    Raises:
        DataError: naming a column that is not named by text, repeats a name, mixes types or holds a lone surrogate.
    """
    columns = []
    for name in frame.columns:
        if not isinstance(name, str):
            raise DataError("column names must be text", column=str(name))
        values = frame[name]
        if getattr(values, "ndim", 1) != 1:
            raise DataError("two columns have this name", column=name, hint="rename one")
        if values.dtype == object and any(isinstance(value, UUID) for value in values.tolist()):
            values = values.map(lambda value: str(value) if isinstance(value, UUID) else value)
        try:
            read: Any = pl.from_pandas(values, nan_to_null=True)
            columns.append(read.alias(name))
        except (TypeError, ValueError, OverflowError, ArithmeticError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"the values have no common type ({str(error)[:100]})",
                row=_odd_row(values),
                column=name,
                hint="make them all text, all numbers or all lists",
            ) from error
    return pl.DataFrame(columns).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def _odd_row(values: Any) -> int | None:
    """The first row whose type differs from the first row's, or whose text has a lone surrogate."""
    first = None
    for at, value in enumerate(values.tolist(), 1):
        if value is None or value != value:
            continue
        first = first or type(value)
        if not isinstance(value, first):
            return at
        if isinstance(value, str) and value.encode("utf-8", "replace") != value.encode("utf-8", "surrogatepass"):
            return at
    return None
