"""One problem of a data set, as ``palate check`` reports it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from palate.core.errors import PalateError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class DataIssue:
    """A problem of the data.

    Attributes:
        code: stable name, for example ``media_missing``.
        severity: ``error`` makes the data unusable, ``warning`` bends results, ``note`` informs.
        message: the problem in words.
        file: the file it was found in.
        rows: the first rows (1-based, header not counted) it was found in.
        column: the column it was found in.
        key: an id, name or setting it is about.
        count: number of rows it was found in.
        hint: what to do.
    """

    code: str
    severity: Severity
    message: str
    file: str | None = None
    rows: tuple[int, ...] = ()
    column: str | None = None
    key: str | None = None
    count: int = 1
    hint: str | None = None

    @classmethod
    def from_error(cls, error: PalateError, code: str = "unreadable") -> DataIssue:
        """An issue of severity ``error``.

        Args:
            error: what was raised.
            code: the code of the issue.
        """
        rows = () if error.row is None else (error.row,)
        key = None if error.key is None else str(error.key)
        return cls(code, "error", error.message, error.file, rows, error.column, key, 1, error.hint)

    def to_json(self) -> dict[str, Any]:
        """Plain values, empty ones left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


def issue_notes(issues: Iterable[DataIssue], table: str, file: str | None) -> Iterator[tuple[str, DataIssue]]:
    """Each issue with its file, and the same as one line.

    Args:
        issues: of one table.
        table: name of the table.
        file: the file it was read from.
    """
    for issue in issues:
        rows = f" (row {', '.join(map(str, issue.rows[:3]))}{' ...' if issue.count > 3 else ''})" if issue.rows else ""
        of = f"{issue.column}: " if issue.column else ""
        yield f"{table}: {of}{issue.message}{rows}", replace(issue, file=file)
