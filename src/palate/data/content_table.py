"""A table whose columns are being read as content, with what was changed, is absent or is not used."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from palate.data.html_text import clean_texts
from palate.data.issues import DataIssue, Severity

LISTED = 20


@dataclass
class ContentTable:
    """A table of items or users with its columns as content.

    Attributes:
        frame: the table.
        kinds: column -> kind.
        decimals: column of numbers that were written as text -> its decimal sign, and its unit.
        issues: what was changed, is absent or is not used.
        hinted: whether palate.yaml can say how a column is read, so that hints may propose it.
    """

    frame: pl.DataFrame
    kinds: dict[str, str]
    decimals: dict[str, str] = field(default_factory=dict)
    issues: list[DataIssue] = field(default_factory=list)
    hinted: bool = True

    def note(
        self, code: str, message: str, column: str, rows: pl.Series | None = None, severity: Severity = "note",
        hint: str | None = None,
    ) -> None:  # fmt: skip
        """Add an issue of a column.

        Args:
            code: of the issue.
            message: what happened, in words that follow the name of the column.
            column: its name.
            rows: bool [n], the rows that it is about.
            severity: of the issue.
            hint: what to do.
        """
        at = [] if rows is None else rows.arg_true().to_list()
        first = tuple(row + 1 for row in at[:LISTED])
        hint = hint if self.hinted else None
        self.issues.append(DataIssue(code, severity, message, None, first, column, None, max(len(at), 1), hint))

    def remove_html(self, column: str) -> None:
        """Remove HTML from a column of texts.

        Args:
            column: its name; a column of another type stays as it is.
        """
        if self.frame[column].dtype != pl.String:
            return
        cleaned, marked = clean_texts(self.frame[column])
        if marked.any():
            self.frame = self.frame.with_columns(cleaned)
            self.note("html_removed", "HTML was removed", column, marked)
