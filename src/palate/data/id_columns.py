"""Columns of ids of several tables, brought into one type once all tables are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from palate.core.errors import DataError
from palate.data.id_spelling import IdColumn, IdType, unify
from palate.data.source_table import SourceTable

Places = Mapping[str, Sequence[tuple[str, str]]]
"""Entity -> table and column of each place that holds its ids."""


def unify_ids(
    tables: Mapping[str, SourceTable],
    places: Places,
    types: Mapping[str, IdType] | None = None,
    files: Mapping[str, str] | None = None,
    others: Mapping[str, Sequence[IdColumn]] | None = None,
) -> tuple[dict[str, SourceTable], tuple[str, ...]]:
    """The same tables, with the ids of each entity in one type; see :func:`palate.data.id_spelling.unify`.

    Args:
        tables: by name.
        places: where the ids are.
        types: entity -> the type that is asked for.
        files: table -> the file it was read from, for error messages.
        others: entity -> further ids that are to be of the same type, and are not returned.

    Returns:
        The tables, and notes on what was changed.

    Raises:
        DataError: naming file and row of an id that cannot be read.
    """
    out, notes = dict(tables), list[str]()
    for entity, entries in places.items():
        columns = [
            IdColumn(tables[table].spelled(column), table, (files or {}).get(table), not tables[table].from_text)
            for table, column in entries
        ]
        further = (others or {}).get(entity, ())
        unified, found = unify([*columns, *further], entity, (types or {}).get(entity))
        notes += found
        for (table, column), values in zip(entries, unified):
            source = out[table]
            text = {name: one for name, one in source.text.items() if name != column}
            out[table] = replace(source, frame=source.frame.with_columns(values.alias(column)), text=text)
    return out, tuple(notes)


@contextmanager
def absent_ids_named(table: SourceTable, column: str) -> Iterator[None]:
    """Context in which an error on an empty id says which word stands in its place.

    Args:
        table: the table of the ids.
        column: the column of the ids.

    Raises:
        DataError: as raised inside, with a hint.
    """
    try:
        yield
    except DataError as error:
        words = table.absent.get(column)
        if not words or not error.message.endswith("is empty"):
            raise
        hint = f"{', '.join(words)} means no value; if it is an id, list the words that do in palate.yaml: absent: []"
        raise DataError(error.message, file=error.file, row=error.row, column=column, hint=hint) from error


def read_as(table: str, source: SourceTable, column: str, file: str | None = None) -> IdColumn:
    """A column of ids of a table that is read apart from the others.

    Args:
        table: name of the table.
        source: the table.
        column: the column.
        file: where it was read from, for error messages.
    """
    return IdColumn(source.spelled(column), table, file, not source.from_text)
