"""Tables of any library as polars tables, and logs with dense row numbers instead of ids."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from palate.core.batch import IntArray
from palate.core.errors import DataError
from palate.data.columns import errors_from, guess_interactions, type_log
from palate.data.ids import IdMap
from palate.data.pandas_table import from_pandas

_MAX_LISTED = 1000


def to_polars(frame: Any) -> pl.DataFrame:
    """A pandas or polars table as a polars table, categories as text.

    Args:
        frame: the table.

    Raises:
        DataError: for anything else, or a pandas column that cannot be converted.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    if hasattr(frame, "columns") and hasattr(frame, "index"):
        return from_pandas(frame)
    raise DataError(f"expected a pandas or polars table, got {type(frame).__name__}")


def dense_searches(frame: pl.DataFrame, items: IdMap, users: IdMap, file: str | None) -> pl.DataFrame:
    """A table of searches with one column a role, and row numbers for users and items.

    Args:
        frame: one row a search.
        items: ids of the items.
        users: ids of the users.
        file: the file it was read from, for error messages.

    Raises:
        DataError: if no column is recognised as the query, the user or the item.
    """
    with errors_from(file):
        roles, _ = guess_interactions(frame, None)
        if "query" not in roles:
            raise DataError("cannot tell which column is the query", hint=f"columns: {', '.join(frame.columns)}")
    frame, _ = type_log(frame, roles, file)
    return dense_log(frame, roles, items, users, file)[0]


def dense_log(
    log: pl.DataFrame, roles: Mapping[str, str], items: IdMap, users: IdMap, file: str | None
) -> tuple[pl.DataFrame, tuple[str, ...], pl.DataFrame | None]:
    """A log with one column a role, and row numbers for users and items.

    Args:
        log: one row an event, with the types of :func:`palate.data.columns.type_log`.
        roles: role -> column.
        items: ids of the items.
        users: ids of the users.
        file: the file it was read from, for error messages.

    Returns:
        The events whose user and item are known; notes on those that are left out; row, column and value of the first
        1,000 unknown ids, or None.

    Raises:
        DataError: if no event is left.
    """
    item_rows: IntArray = items.rows(log[roles["item"]], "mark")
    user_rows: IntArray = users.rows(log[roles["user"]], "mark")
    table = log.select([pl.col(column).alias(role) for role, column in roles.items()]).with_columns(
        user=pl.Series(user_rows), item=pl.Series(item_rows)
    )
    unknown = np.flatnonzero((item_rows < 0) | (user_rows < 0))
    if not len(unknown):
        return table, (), None
    known = pl.Series((item_rows >= 0) & (user_rows >= 0))
    at = int(unknown[0])
    column = roles["item"] if item_rows[at] < 0 else roles["user"]
    if len(unknown) == len(log):
        raise DataError(
            "no interaction matches the tables",
            file=file,
            row=at + 1,
            column=column,
            key=log[column][at],
            hint="compare the id columns",
        )
    note = (
        f"{len(unknown)} of {len(log)} interactions left out: their item or user is not in the tables "
        f"(first: row {at + 1}, {column} = {log[column][at]!r})"
    )
    warnings.warn(note, stacklevel=3)
    listed = unknown[:_MAX_LISTED]
    columns = [roles["item"] if item_rows[row] < 0 else roles["user"] for row in listed]
    values = [str(log[column][int(row)]) for column, row in zip(columns, listed)]
    dropped = pl.DataFrame({"row": listed + 1, "column": columns, "value": values})
    if "row" not in table.columns:
        table = table.with_columns(row=pl.int_range(1, len(table) + 1))
    return table.filter(known), (note,), dropped
