"""Header names and separator of a CSV file, and the row that makes it unreadable."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import IO

from palate.core.errors import DataError

MAX_COLUMNS = 20_000
MAX_HEADER = 4 << 20
SEPARATORS = (",", "\t", ";", "|")


def header_names(handle: IO[bytes], separator: str, path: Path) -> tuple[list[str], str]:
    """Column names, trimmed and unique, and the separator between them.

    Args:
        handle: the file, at its start.
        separator: the expected one.
        path: the file, for error messages.

    Raises:
        DataError: if the header is blank, too long, not UTF-8, badly quoted, or repeats a name.
    """
    line = handle.readline(MAX_HEADER)
    if len(line) >= MAX_HEADER:
        raise DataError(f"the header is longer than {MAX_HEADER >> 20} MiB", file=path, hint="is this a table?")
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"the header is not UTF-8 ({error.reason})", file=path, hint="save it as UTF-8") from error
    if "\r" in text:
        raise DataError("lines end in a bare carriage return", file=path, hint="save it with LF or CRLF line ends")
    if not text.strip():
        raise DataError("the first line is blank; it must name the columns", file=path)
    if separator not in text:
        others = [other for other in SEPARATORS if other in text]
        separator = others[0] if len(others) == 1 else separator
    try:
        names = next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"the header cannot be read ({error})", file=path, hint="check its quotes") from error
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{len(names)} columns", file=path, hint=f"keep at most {MAX_COLUMNS}")
    names = [name.strip() or f"unnamed_{at + 1}" for at, name in enumerate(names)]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError("two columns have this name", file=path, column=name, hint="rename one")
        seen.add(name)
    return names, separator


def ragged_row(handle: IO[bytes], separator: str, width: int) -> tuple[int, str] | None:
    """The first row (1-based, header not counted) with too many fields or broken quotes, and a message.

    Only called once polars has refused the file, so a slow exact scan is affordable.

    Args:
        handle: the file, at its start.
        separator: between fields.
        width: number of columns.
    """
    limit = csv.field_size_limit(1 << 30)
    row = 0
    try:
        text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline="")
        for row, fields in enumerate(csv.reader(text, delimiter=separator, strict=True)):
            if len(fields) > width:
                return row, f"{len(fields)} fields for {width} columns"
    except csv.Error as error:
        unclosed = "unexpected end" in str(error)
        return row + 1, "a quote is never closed" if unclosed else f"broken quotes ({error})"
    finally:
        csv.field_size_limit(limit)
    return None
