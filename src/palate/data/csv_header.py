"""The beginning of a CSV file: lines before the header, names and separator; and the row that makes it unreadable."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import IO, Literal, NamedTuple

from palate.core.errors import DataError

MAX_COLUMNS = 20_000
MAX_HEADER = 4 << 20
SEPARATORS = (",", "\t", ";", "|")
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
_MAX_COMMENTS = 1000


class CsvStart(NamedTuple):
    """The beginning of a CSV file.

    Attributes:
        names: names of the columns, trimmed and unique.
        separator: between fields.
        skip: number of bytes before the header, or before the first row where there is no header.
    """

    names: list[str]
    separator: str
    skip: int


def read_start(
    handle: IO[bytes],
    separator: str,
    path: Path,
    *,
    fixed: bool = False,
    header: bool = True,
    names: tuple[str, ...] = (),
) -> CsvStart:
    """Column names, trimmed and unique, and the separator between them.

    A first line ``sep=;`` names the separator, and lines of comment (``# ...``, not divided as the line after them is)
    are skipped.

    Args:
        handle: the file, at its start.
        separator: the expected one; another is taken if it divides the header and the first row into more fields.
        path: the file, for error messages.
        fixed: whether no other separator may be taken.
        header: whether the first line names the columns.
        names: names of the columns, where there is no header; ``column_1`` ... by default.

    Raises:
        DataError: if the header is blank, too long, not UTF-8, badly quoted, or repeats a name; if there are not as
            many names as columns.
    """
    skip, line = 0, handle.readline(MAX_HEADER)
    if match := _SEPARATOR_LINE.fullmatch(_lenient(line)):
        separator, fixed, skip = match[1], True, len(line)
        line = handle.readline(MAX_HEADER)
    after = handle.readline(MAX_HEADER)
    for _ in range(_MAX_COMMENTS):
        if not _lenient(line).startswith("#") or not after or _divided_alike(_lenient(line), _lenient(after)):
            break
        skip += len(line)
        line, after = after, handle.readline(MAX_HEADER)
    text, next_text = _strict(line, path), _lenient(after)
    if not text.strip():
        raise DataError("the first line is blank; it must name the columns", file=path)
    if not fixed:
        separator = _separator(text, next_text, separator)
    try:
        one = len(separator) == 1
        found = next(csv.reader([text], delimiter=separator, strict=True)) if one else text.split(separator)
    except csv.Error as error:
        raise DataError(f"the header cannot be read ({error})", file=path, hint="check its quotes") from error
    if len(found) > MAX_COLUMNS:
        raise DataError(f"{len(found)} columns", file=path, hint=f"keep at most {MAX_COLUMNS}")
    if not header:
        if names and len(names) != len(found):
            hint = "list one name for each column under 'names' in palate.yaml"
            raise DataError(f"{len(names)} names for {len(found)} columns", file=path, row=1, hint=hint)
        found = list(names) or [f"column_{at + 1}" for at in range(len(found))]
    unique = [name.strip() or f"unnamed_{at + 1}" for at, name in enumerate(found)]
    seen: set[str] = set()
    for name in unique:
        if name in seen:
            raise DataError("two columns have this name", file=path, column=name, hint="rename one")
        seen.add(name)
    return CsvStart(unique, separator, skip)


def ragged_row(
    handle: IO[bytes], separator: str, width: int, first: int = 0, quoted: bool = True
) -> tuple[int, str] | None:
    """The first row (1-based, header not counted) with too many fields or broken quotes, and a message.

    Only called once polars has refused the file, so a slow exact scan is affordable.

    Args:
        handle: the file, at its header or, without one, at its first row.
        separator: between fields.
        width: number of columns.
        first: number of the first line: 0 for a header.
        quoted: whether quotation marks enclose fields.
    """
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    limit = csv.field_size_limit(1 << 30)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline="")
    row = first
    try:
        for row, fields in enumerate(csv.reader(text, delimiter=separator, strict=True, quoting=quoting), first):
            if len(fields) > width:
                return row, f"{len(fields)} fields for {width} columns"
    except csv.Error as error:
        unclosed = "unexpected end" in str(error)
        return row + 1, "a quote is never closed" if unclosed else f"broken quotes ({error})"
    finally:
        csv.field_size_limit(limit)
        text.detach()
    return None


def _lenient(line: bytes) -> str:
    return line.decode("utf-8-sig", "replace").rstrip("\r\n")


def _strict(line: bytes, path: Path) -> str:
    if len(line) >= MAX_HEADER:
        raise DataError(f"the header is longer than {MAX_HEADER >> 20} MiB", file=path, hint="is this a table?")
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8, or set 'encoding: latin-1' for this table in palate.yaml"
        raise DataError(f"the header is not UTF-8 ({error.reason})", file=path, hint=hint) from error
    if "\r" in text:
        raise DataError("lines end in a bare carriage return", file=path, hint="save it with LF or CRLF line ends")
    return text


def _counts(text: str) -> dict[str, int]:
    bare = _QUOTED.sub("", text)
    return {separator: bare.count(separator) for separator in SEPARATORS}


def _divided_alike(text: str, other: str) -> bool:
    """Whether two lines have as many fields, more than one, by the separator that divides the second line most."""
    counts = _counts(other)
    best = max(SEPARATORS, key=counts.__getitem__)
    return _counts(text)[best] == counts[best] > 0


def _separator(header: str, row: str, expected: str) -> str:
    """The separator of a header: the expected one, or one that divides header and first row alike if it does not."""
    counts, of_row = _counts(header), _counts(row)
    present = [separator for separator in SEPARATORS if counts[separator]]
    if expected not in present:
        alike = [separator for separator in present if counts[separator] == of_row[separator]]
        rivals = alike if len(present) > 1 else present
        return max(rivals, key=counts.__getitem__) if rivals else expected
    if not row or counts[expected] == of_row[expected]:
        return expected
    alike = [separator for separator in present if counts[separator] == of_row[separator]]
    return max(alike, key=counts.__getitem__) if alike else expected
