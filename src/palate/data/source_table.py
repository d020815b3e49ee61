"""A table with typed columns that still knows how its values were spelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from palate.data.absent import ABSENT, drop_absent
from palate.data.column_types import keeps_spelling, typed_column
from palate.data.issues import DataIssue

_FORMULA = r'^\s*="([^"]*)"\s*$'


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

    def rename(self, names: Mapping[str, str]) -> SourceTable:
        """The same table under other names of columns.

        Args:
            names: old name -> new name.
        """
        text = {
            names.get(column, column): values.alias(names.get(column, column)) for column, values in self.text.items()
        }
        return replace(self, frame=self.frame.rename(dict(names), strict=False), text=text)

    def with_columns(self, *columns: pl.Series) -> SourceTable:
        """The table with further or other columns.

        Args:
            columns: typed columns.
        """
        text = {column: values for column, values in self.text.items() if column not in {one.name for one in columns}}
        return replace(self, frame=self.frame.with_columns(columns), text=text)


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
        quoted = int(column.str.contains(_FORMULA).sum()) if from_text else 0
        if quoted:
            message = 'cells such as ="00123", as spreadsheets write text, are read as 00123'
            issues = (*issues, DataIssue("formula_text", "note", message, column=column.name, count=quoted))
            column = column.str.replace(_FORMULA, "$1")
        values, found = drop_absent(column, words)
        if found:
            absent[column.name] = found
        typed = typed_column(values) if from_text and not quoted else values
        if from_text and not keeps_spelling(values, typed):
            text[column.name] = values
        columns.append(typed)
    return SourceTable(pl.DataFrame(columns), text, absent, issues, from_text)


def stack(sources: Sequence[SourceTable], words: Collection[str] = ABSENT) -> SourceTable:
    """The rows of several tables one after the other; a column that one of them lacks is absent there.

    Args:
        sources: the tables.
        words: words that mean "no value".
    """
    from_text = all(source.from_text for source in sources)
    frames = [
        pl.DataFrame([source.spelled(c).cast(pl.String) for c in source.frame.columns]) if from_text else source.frame
        for source in sources
    ]
    issues = tuple(issue for source in sources for issue in source.issues)
    table = typed_table(pl.concat(frames, how="diagonal_relaxed"), words, from_text, issues)
    absent: dict[str, dict[str, int]] = {}
    for source in sources:
        for column, counts in source.absent.items():
            for word, count in counts.items():
                of_column = absent.setdefault(column, {})
                of_column[word] = of_column.get(word, 0) + count
    return replace(table, absent=absent)
