"""Tables of any library as polars tables, and logs with dense row numbers instead of ids."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from palate.core.batch import IntArray
from palate.core.errors import DataError
from palate.data.absent import ABSENT
from palate.data.catalog import Catalog
from palate.data.columns import errors_from, guess_interactions, type_log
from palate.data.id_spelling import SHORTENED
from palate.data.ids import IdMap
from palate.data.issues import DataIssue, Severity
from palate.data.pandas_table import from_pandas
from palate.data.source_table import SourceTable, typed_table

_MAX_LISTED = 1000
_ONE = {"interactions": "interaction", "searches": "search"}


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


def to_source(frame: Any, words: Collection[str] = ABSENT) -> SourceTable:
    """A table of any library without words for no value.

    Args:
        frame: a pandas or polars table, or one that was read from a file.
        words: words that mean "no value"; they do not matter to a table that was read from a file.

    Raises:
        DataError: as :func:`to_polars`.
    """
    return frame if isinstance(frame, SourceTable) else typed_table(to_polars(frame), words)


def user_column(frame: pl.DataFrame, column: str) -> str:
    """The column of ids of a table of users: the one that is called as in the log, else the first.

    Args:
        frame: one row a user.
        column: the column of the users in the log.
    """
    return column if column in frame.columns else frame.columns[0]


def complete_users(users: Catalog, log: pl.Series, file: str | None) -> tuple[Catalog, tuple[DataIssue, ...]]:
    """The table of users with those whom only the log knows at its end, without attributes.

    Args:
        users: the table of users.
        log: ids of the users of the log, in the type of those of the table.
        file: the file of the log.
    """
    known = users.ids.rows(log, "mark") >= 0
    new = log.filter(~pl.Series(known)).drop_nulls().unique(maintain_order=True)
    if not len(new):
        return users, ()
    severity: Severity = "warning" if not known.any() else "note"
    message = f"{len(new):,} users of the interactions have no row in the table of users and no attributes"
    hint = None
    if not known.any():
        message = f"none of the {len(new):,} users of the interactions has a row in the table of users"
        hint = "compare the columns of ids"
    issue = DataIssue("user_without_row", severity, message, file, key=str(new[0]), count=len(new), hint=hint)
    rows = pl.DataFrame({users.id_column: new}).cast({users.id_column: users.frame.schema[users.id_column]})
    return users.append(rows, users.id_column), (issue,)


def dense_searches(
    source: SourceTable, roles: Mapping[str, str], items: IdMap, users: IdMap, file: str | None
) -> DenseLog:
    """A table of searches with one column a role, and row numbers for users and items; what was left out is an issue.

    Args:
        source: one row a search.
        roles: role -> column.
        items: ids of the items.
        users: ids of the users.
        file: the file it was read from, for error messages.

    Raises:
        DataError: if a value cannot be read.
    """
    typed, _ = type_log(source.frame, roles, file)
    dense = dense_log(source.with_columns(*typed), roles, items, users, file, "searches")
    if dense.dropped is None:
        return dense
    rows, first = tuple(dense.dropped["row"].to_list()), dense.dropped.row(0, named=True)
    found = [
        DataIssue("unknown_id", "warning", note, file, rows, first["column"], first["value"], len(rows))
        for note in dense.notes
    ]
    return dense._replace(notes=(), issues=(*dense.issues, *found))


def search_roles(frame: pl.DataFrame, file: str | None) -> dict[str, str]:
    """Role -> column of a table of searches.

    Args:
        frame: one row a search.
        file: the file it was read from, for error messages.

    Raises:
        DataError: if no column is recognised as the query, the user or the item.
    """
    with errors_from(file):
        roles, _ = guess_interactions(frame, None)
        if "query" not in roles:
            raise DataError("cannot tell which column is the query", hint=f"columns: {', '.join(frame.columns)}")
    return roles


def new_rows(items: Catalog, frame: Any) -> SourceTable:
    """New rows of a catalogue, with ids and texts as they are spelled.

    Args:
        items: the catalogue.
        frame: a table of any library, or one that was read from a file.

    Raises:
        DataError: without the column of ids, or as :func:`to_polars`.
    """
    source, key = to_source(frame), items.id_column
    if key not in source.frame.columns:
        hint = f"columns: {', '.join(source.frame.columns)}"
        raise DataError("new items lack the id column", column=key, hint=hint)
    texts = [c for c in source.frame.columns if c == key or items.frame.schema.get(c) == pl.String]
    return replace(source, frame=source.frame.with_columns(source.spelled(c) for c in texts))


class DenseLog(NamedTuple):
    """A log with row numbers instead of ids.

    Attributes:
        table: the events whose user and item are known, one column a role.
        notes: how many events with an unknown id are left out.
        issues: events that are left out, and why.
        dropped: row, column and value of the first 1,000 unknown ids, or None.
    """

    table: pl.DataFrame
    notes: tuple[str, ...]
    issues: tuple[DataIssue, ...]
    dropped: pl.DataFrame | None


def dense_log(
    source: SourceTable,
    roles: Mapping[str, str],
    items: IdMap,
    users: IdMap,
    file: str | None,
    name: str = "interactions",
) -> DenseLog:
    """A log with one column a role, and row numbers for users and items.

    Args:
        source: one row an event, with the types of :func:`palate.data.columns.type_log`.
        roles: role -> column.
        items: ids of the items.
        users: ids of the users.
        file: the file it was read from, for error messages.
        name: what the rows are, for messages.

    Raises:
        DataError: if no event is left.
    """
    log = source.frame
    ids = {role: log[roles[role]] for role in ("item", "user")}
    rows: dict[str, IntArray] = {"item": items.rows(ids["item"], "mark"), "user": users.rows(ids["user"], "mark")}
    # a time of day is part of the time already
    taken = [pl.col(column).alias(role) for role, column in roles.items() if role != "clock"]
    table = log.select(taken).with_columns(user=pl.Series(rows["user"]), item=pl.Series(rows["item"]))
    bad = (rows["item"] < 0) | (rows["user"] < 0)
    if not bad.any():
        return DenseLog(table, (), _timeless(table, roles, file), None)
    missing = (ids["item"].is_null() | ids["user"].is_null()).to_numpy()
    unknown = np.flatnonzero(bad & ~missing)
    if bad.all():
        at = int(unknown[0]) if len(unknown) else 0
        column = roles["item"] if rows["item"][at] < 0 else roles["user"]
        raise DataError(
            f"no {_ONE[name]} matches the tables",
            file=file,
            row=at + 1,
            column=column,
            key=source.spelled(column)[at],
            hint=_unmatched(source.spelled(column), items if column == roles["item"] else users),
        )
    issues, notes, dropped = list[DataIssue](), list[str](), None
    if missing.any():
        lost = np.flatnonzero(missing)
        column = roles["item"] if ids["item"].is_null()[int(lost[0])] else roles["user"]
        message = (
            f"{len(lost):,} of {len(log):,} {name} left out: they have no user or no item "
            f"(first: row {int(lost[0]) + 1}, {column})"
        )
        listed = tuple(int(row) + 1 for row in lost[:_MAX_LISTED])
        issues.append(DataIssue("id_missing", "warning", message, file, listed, column, count=len(lost)))
    if len(unknown):
        note, dropped = _unknown_ids(source, roles, rows["item"], unknown, name)
        notes.append(note)
    for message in (*notes, *(issue.message for issue in issues)):
        warnings.warn(message, stacklevel=3)
    if "row" not in table.columns:
        table = table.with_columns(row=pl.int_range(1, len(table) + 1))
    table = table.filter(pl.Series(~bad))
    return DenseLog(table, tuple(notes), (*issues, *_timeless(table, roles, file)), dropped)


def _unmatched(values: pl.Series, known: IdMap) -> str:
    """What to do where no id of a column is known."""
    if values.dtype.is_nested():
        return "write one row for each id, instead of lists"
    text = values.cast(pl.String).drop_nulls()
    first = ", ".join(repr(one) for one in known.ids.head(3).to_list())
    hint = f"compare the id columns: ids of the {known.entity}s are {first} ..."
    if not len(text):
        return f"the column is empty; name another as {known.entity} in palate.yaml"
    if text.str.contains(SHORTENED).any():
        return f"a spreadsheet has shortened ids such as 4.00638E+12: export them as text; {hint}"
    if known.ids.dtype == pl.String and text.str.to_lowercase().is_in(known.ids.str.to_lowercase().implode()).any():
        return f"{hint}; some differ in case only"
    parts = text.head(100).str.replace_all(r"[|;\s]+", ",").str.split(",").explode().str.strip_chars()
    if len(parts) > len(text.head(100)) and (known.rows(parts.drop_nulls(), "mark") >= 0).any():
        return f"a cell holds several ids: write one row for each; {hint}"
    return hint


def _unknown_ids(
    source: SourceTable, roles: Mapping[str, str], item_rows: IntArray, unknown: IntArray, name: str
) -> tuple[str, pl.DataFrame]:
    spelled = {roles[role]: source.spelled(roles[role]) for role in ("item", "user")}
    listed = unknown[:_MAX_LISTED]
    columns = [roles["item"] if item_rows[row] < 0 else roles["user"] for row in listed]
    values = [str(spelled[column][int(row)]) for column, row in zip(columns, listed)]
    first = spelled[columns[0]][int(unknown[0])]
    note = (
        f"{len(unknown)} of {len(source.frame)} {name} left out: their item or user is not in the tables "
        f"(first: row {int(unknown[0]) + 1}, {columns[0]} = {first!r})"
    )
    return note, pl.DataFrame({"row": listed + 1, "column": columns, "value": values})


def _timeless(table: pl.DataFrame, roles: Mapping[str, str], file: str | None) -> tuple[DataIssue, ...]:
    if "time" not in table.columns or not table["time"].null_count():
        return ()
    missing = table["time"].is_null().arg_true()
    rows = missing if "row" not in table.columns else table["row"].gather(missing) - 1
    message = (
        f"{len(missing):,} of {len(table):,} interactions have no time: splits by time leave them out, "
        "and they stand after all others in histories"
    )
    listed = tuple(int(row) + 1 for row in rows.head(_MAX_LISTED))
    return (DataIssue("time_missing", "warning", message, file, listed, roles["time"], count=len(missing)),)
