"""The beginning of a CSV file: lines before the header, names and separator; and the row that makes it unreadable."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import IO, Literal, NamedTuple

from palate.core.errors import DataError
from palate.data.column_names import is_known_name
from palate.data.invisible import trim

MAX_COLUMNS = 20_000
MAX_HEADER = 4 << 20
SEPARATORS = (",", "\t", ";", "|")
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
_NUMBER_FIELD = re.compile(r'(?:^|[,;|\t])\s*"?-?\d[\d.]*"?\s*(?:$|[,;|\t])')
_RULED = re.compile(r"[\s|+:-]*-{3}[\s|+:-]*")
_RARE = ("::", "\x01", "^", "~", " ")
_MAX_COMMENTS, _MAX_TITLES = 1000, 10
_SAMPLED_ROWS, _SAMPLED_BYTES = 20, 1 << 16


class CsvStart(NamedTuple):
    """The beginning of a CSV file.

    Attributes:
        names: names of the columns, trimmed and unique.
        separator: between fields.
        skip: number of bytes before the header, or before the first row where there is no header.
        lines: number of lines before the header that are neither comments nor blank.
    """

    names: list[str]
    separator: str
    skip: int
    lines: int = 0


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

    A first line ``sep=;`` names the separator. Lines of comment are skipped: they begin with ``#``, and are not divided
    as the line after them is, or are words without a usual name of a column above a line that has one. So are titles of
    a report above a line of usual names that is divided as the row after it.

    Args:
        handle: the file, at its start.
        separator: the expected one; another is taken if it divides the header and the first rows more evenly.
        path: the file, for error messages.
        fixed: whether no other separator may be taken.
        header: whether the first line names the columns.
        names: names of the columns, where there is no header; ``column_1`` ... by default.

    Raises:
        DataError: if the header is blank, too long, not UTF-8, badly quoted, or repeats a name; if there are not as
            many names as columns.
    """
    lines, skip = _preamble(handle) if header and not names else (0, 0)
    line, after = handle.readline(MAX_HEADER), handle.readline(MAX_HEADER)
    for _ in range(_MAX_COMMENTS):
        if match := _SEPARATOR_LINE.fullmatch(_lenient(line)):
            separator, fixed = match[1], True
        elif not _is_comment(_lenient(line), _lenient(after), header) and not (skip and after and not line.strip()):
            break
        skip += len(line)
        line, after = after, handle.readline(MAX_HEADER)
    text = _strict(line, path)
    if not text.strip():
        raise DataError("the first line is blank; it must name the columns", file=path)
    if header and _RULED.fullmatch(_lenient(after)):
        hint = "export the table as CSV, instead of copying it from a screen"
        raise DataError("a ruled line, as in a table made for reading", file=path, row=1, hint=hint)
    if not fixed:
        more = (handle.readline(_SAMPLED_BYTES) for _ in range(_SAMPLED_ROWS - 1))
        separator = _separator(text, [row for row in map(_lenient, (after, *more)) if row], separator)
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
    unique = [trim(name) or f"unnamed_{at + 1}" for at, name in enumerate(found)]
    seen: set[str] = set()
    for name in unique:
        if name in seen:
            hint = "rename one" + (", or write header: none if the first line is a row" if _is_number(name) else "")
            raise DataError("two columns have this name", file=path, column=name, hint=hint)
        seen.add(name)
    return CsvStart(unique, separator, skip, lines)


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


def _preamble(handle: IO[bytes]) -> tuple[int, int]:
    """Lines and bytes of the titles above the header; the handle is left after them."""
    begin = handle.tell()
    lines = [handle.readline(_SAMPLED_BYTES) for _ in range(_MAX_TITLES + 2)]
    texts = [_lenient(line) for line in lines]
    found = 0
    if texts[0].strip() and not texts[0].startswith("#") and not _SEPARATOR_LINE.fullmatch(texts[0]):
        found = next((at for at in range(1, _MAX_TITLES + 1) if _is_below_titles(texts, at)), 0)
    skip = sum(map(len, lines[:found]))
    handle.seek(begin + skip)
    return sum(bool(text.strip(",;|\t ")) for text in texts[:found]), skip


def _is_below_titles(texts: list[str], at: int) -> bool:
    """Whether a line is a header, and the lines before it are titles of a report."""
    known = {one: _known_names(texts[at], one) for one in SEPARATORS}
    best = max(SEPARATORS, key=known.__getitem__)
    if known[best] < 2 or not texts[at + 1] or not _divided_alike(texts[at], texts[at + 1]):
        return False
    filled = [sum(bool(field.strip()) for field in text.split(best)) for text in texts[: at + 1]]
    return max(filled[:at]) < filled[at] and max(_known_names(text, best) for text in texts[:at]) < known[best]


def _is_number(name: str) -> bool:
    return name.lstrip("-").replace(".", "", 1).isdigit()


def _lenient(line: bytes) -> str:
    return line.decode("utf-8-sig", "replace").rstrip("\r\n")


def _strict(line: bytes, path: Path) -> str:
    if len(line) >= MAX_HEADER:
        raise DataError(f"the header is longer than {MAX_HEADER >> 20} MiB", file=path, hint="is this a table?")
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8, or name its encoding in palate.yaml for this table, such as 'encoding: cp1252'"
        raise DataError(f"the header is not UTF-8 ({error.reason})", file=path, hint=hint) from error
    if "\r" in text:
        raise DataError("lines end in a bare carriage return", file=path, hint="save it with one kind of line ends")
    return text


def _counts(text: str) -> dict[str, int]:
    bare = _QUOTED.sub("", text)
    return {separator: bare.count(separator) for separator in SEPARATORS}


def _is_comment(text: str, after: str, header: bool) -> bool:
    if not text.startswith("#"):
        return False
    named = _names_columns(text)
    if _SEPARATOR_LINE.fullmatch(after) or (not after.strip() and not named):
        return True
    if after.strip() and not _divided_alike(text, after):
        return True
    words = " " in text.strip("# ") and not named
    return header and words and _names_columns(after) and not _NUMBER_FIELD.search(after)


def _divided_alike(text: str, other: str) -> bool:
    """Whether two lines have as many fields, more than one, by the separator that divides the second line most."""
    counts = _counts(other)
    best = max(SEPARATORS, key=counts.__getitem__)
    return _counts(text)[best] == counts[best] > 0


def _names_columns(text: str) -> bool:
    return any(_known_names(text, separator) for separator in SEPARATORS)


def _known_names(text: str, separator: str) -> int:
    """How many fields of a line are usual names of columns."""
    return sum(is_known_name(field.strip(' "#')) for field in text.split(separator))


def _separator(header: str, rows: list[str], expected: str) -> str:
    """The separator of a header: the expected one, unless another divides the rows more often as it does the header.

    Between separators that divide as many rows alike, the one that leaves more usual names of columns is taken.
    """
    counts = _counts(header)
    present = [separator for separator in SEPARATORS if counts[separator]]
    if not present:
        rare = (one for one in _RARE if _known_names(header, one) >= 2)
        return next((one for one in rare if all(row.count(one) == header.count(one) for row in rows)), expected)
    if present == [expected]:
        return expected
    if not rows or len(present) == 1:
        return expected if expected in present else max(present, key=counts.__getitem__)
    divided = [_counts(row) for row in rows]
    alike = {separator: sum(row[separator] == counts[separator] for row in divided) for separator in present}
    best = max(alike.values())
    rivals = [separator for separator in present if alike[separator] == best]
    if not best:
        return expected
    return max(rivals, key=lambda one: (_known_names(header, one), one == expected, counts[one]))
