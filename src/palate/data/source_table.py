"""A table with typed columns that still knows how its values were spelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from palate.data.absent import ABSENT, drop_absent
from palate.data.column_types import keeps_spelling, typed_column
from palate.data.issues import DataIssue


@dataclass(frozen=True, eq=False)
class SourceTable:
    """A table as it was read.

    Attributes:
        frame: the table, words for no value as null, columns of a text file typed.
        text: column -> its values as text, where the typed values are spelled otherwise.
        absent: column -> word for no value -> number of cells.
        issues: faults that were found in reading.
        from_text: whether the file has no types of its own.
    """

    frame: pl.DataFrame
    text: Mapping[str, pl.Series] = field(default_factory=dict)
    absent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    issues: tuple[DataIssue, ...] = ()
    from_text: bool = False

    def spelled(self, column: str) -> pl.Series:
        """A column as it is spelled in the file.

        Args:
            column: its name.
        """
        return self.text[column] if column in self.text else self.frame[column]

    def filter(self, keep: pl.Series) -> SourceTable:
        """Some rows.

        Args:
            keep: bool [n].
        """
        text = {column: values.filter(keep) for column, values in self.text.items()}
        return replace(self, frame=self.frame.filter(keep), text=text)


def typed_table(
    frame: pl.DataFrame,
    words: Collection[str] = ABSENT,
    from_text: bool = False,
    issues: tuple[DataIssue, ...] = (),
) -> SourceTable:
    """A table without words for no value and, if all its values were text, with typed columns.

    Args:
        frame: the table.
        words: words that mean "no value".
        from_text: whether the columns are text because the file has no types.
        issues: faults that were found in reading.
    """
    columns, text, absent = [], {}, {}
    for column in frame.iter_columns():
        values, found = drop_absent(column, words)
        if found:
            absent[column.name] = found
        typed = typed_column(values) if from_text else values
        if from_text and not keeps_spelling(values, typed):
            text[column.name] = values
        columns.append(typed)
    return SourceTable(pl.DataFrame(columns), text, absent, issues, from_text)
