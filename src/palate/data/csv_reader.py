"""Reading CSV files as text: quotes, encodings, and rows that a stray quotation mark swallows."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from palate.core.errors import DataError
from palate.data.csv_header import CsvStart, ragged_row, read_start
from palate.data.issues import DataIssue
from palate.data.table_format import TableFormat

_CHUNK = 1 << 20
_LISTED = 1000
_ESCAPED = b'\\"'
_QUOTES = "check separators and quotes; 'quote: none' in palate.yaml reads quotation marks as they are"
_UTF8 = ("utf-8", "utf8", "utf_8", "utf-8-sig")


class _Scan(NamedTuple):
    """What one pass over the bytes of a file found: lines, and whether there are quotation marks and returns."""

    lines: int
    quotes: bool
    returns: bool


def read_csv(
    path: Path, raw: bytes | None, separator: str, form: TableFormat
) -> tuple[pl.DataFrame, tuple[DataIssue, ...]]:
    """All columns as text, and issues with the rows.

    Args:
        path: the file.
        raw: its unpacked bytes, None if it is plain.
        separator: the expected separator, unless ``form`` names one.
        form: how to read it.

    Returns:
        The table, without blank lines at its end; fields that hold several lines of the form of a row, as an unclosed
        quotation mark makes them.

    Raises:
        DataError: naming the row: another encoding, NUL bytes, too many fields, broken quotes.
    """
    if form.encoding.lower() not in _UTF8:
        raw = _decoded(path, raw, form.encoding)
    scan = _scan(path, raw)
    if scan.returns and not scan.lines:
        raw = (path.read_bytes() if raw is None else raw).replace(b"\r", b"\n")
    with _open(path, raw) as handle:
        start = read_start(
            handle,
            form.separator or separator,
            path,
            fixed=form.separator is not None,
            header=form.header,
            names=form.names,
        )
    if len(start.separator.encode()) > 1:
        raw, start = _one_character(path, raw, start)
    quoted = form.quote if form.quote is not None else scan.quotes and _is_quoted(path, raw, start)
    issues = list[DataIssue]()
    if start.lines:
        message = f"{start.lines} lines of {path.name} before the header are skipped"
        issues.append(DataIssue("lines_skipped", "note", message, str(path), count=start.lines))
    if quoted and _is_irregular(path, raw, start):
        frame, escaped = _strictly(path, raw, start, form.header)
        if escaped:
            message = f"backslashes before quotation marks in {path.name} are read as part of the mark"
            issues.append(DataIssue("quotes_escaped", "note", message, str(path)))
    else:
        frame = _parse(path, raw, start, form.header, quoted)
    if not quoted and scan.quotes and form.quote is None and start.separator == "\t":
        frame = frame.with_columns(_unquoted(frame[column]) for column in frame.columns)
    frame = _without_tail(frame)
    return frame, (*issues, *(_swallowed(frame, path, start.separator) if quoted else ()))


def _decoded(path: Path, raw: bytes | None, encoding: str) -> bytes:
    raw = path.read_bytes() if raw is None else raw
    try:
        return raw.decode(encoding).removeprefix("\ufeff").encode("utf-8")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start)
        raise DataError(f"not {encoding} ({error.reason})", file=path, row=row or None) from error


def _scan(path: Path, raw: bytes | None) -> _Scan:
    with _open(path, raw) as handle:
        lines, quotes, returns = 0, False, False
        while chunk := handle.read(_CHUNK):
            at = chunk.find(b"\0")
            if at >= 0:
                row = lines + chunk.count(b"\n", 0, at)
                hint = "is it binary, or UTF-16? Save it as UTF-8, or set 'encoding: utf-16' in palate.yaml"
                raise DataError("a NUL byte", file=path, row=row or None, hint=hint)
            lines += chunk.count(b"\n")
            quotes = quotes or b'"' in chunk
            returns = returns or b"\r" in chunk
    return _Scan(lines, quotes, returns)


def _open(path: Path, raw: bytes | None) -> IO[bytes]:
    return open(path, "rb") if raw is None else io.BytesIO(raw)


def _one_character(path: Path, raw: bytes | None, start: CsvStart) -> tuple[bytes, CsvStart]:
    """The file with a character that it does not hold in place of a separator of several, such as ``::``."""
    raw = path.read_bytes() if raw is None else raw
    free = next(byte for byte in (b"\x1f", b"\x1e", b"\x1d", b"\x1c") if byte not in raw)
    return raw.replace(start.separator.encode(), free), start._replace(separator=free.decode())


def _is_quoted(path: Path, raw: bytes | None, start: CsvStart) -> bool:
    """Whether quotation marks enclose fields.

    They do not where no field begins with one, nor in a file of tabs in which every line is a whole row by itself.
    """
    content = path.read_bytes() if raw is None else raw
    separator = re.escape(start.separator.encode())
    if re.search(rb"(?:\A|\n|" + separator + rb')"', content[start.skip :].removeprefix(b"\xef\xbb\xbf")) is None:
        return False
    if start.separator != "\t":
        return True
    lines = pl.Series(content[start.skip :].decode("utf-8", "replace").rstrip("\r\n").split("\n"), dtype=pl.String)
    return not (lines.str.count_matches("\t", literal=True) == len(start.names) - 1).all()


def _parse(path: Path, raw: bytes | None, start: CsvStart, header: bool, quoted: bool) -> pl.DataFrame:
    content = (path.read_bytes() if raw is None else raw)[start.skip :] if start.skip else raw
    try:
        frame = pl.read_csv(
            path if content is None else content,
            separator=start.separator,
            quote_char='"' if quoted else None,
            has_header=header,
            infer_schema=False,
            encoding="utf8",
        )
    except pl.exceptions.PolarsError as error:
        first = 0 if header else 1
        with _open(path, content) as handle:
            _refuse_other_encodings(handle, path, first)
        with _open(path, content) as handle:
            bad_row = ragged_row(handle, start.separator, len(start.names), first, quoted)
        if bad_row is not None:
            row, message = bad_row
            raise DataError(message, file=path, row=row, hint=_QUOTES) from error
        frame = _slowly(path, content, start, header)
    if len(frame.columns) != len(start.names):
        raise DataError(f"{len(start.names)} column names for {len(frame.columns)} columns", file=path)
    frame.columns = start.names
    return frame


def _slowly(path: Path, content: bytes | None, start: CsvStart, header: bool) -> pl.DataFrame:
    """The table where quotation marks inside unquoted fields (``12" single``) keep polars from reading it."""
    with _open(path, content) as handle, io.TextIOWrapper(handle, encoding="utf-8-sig", newline="") as text:
        rows = list(csv.reader(text, delimiter=start.separator, strict=True))[1 if header else 0 :]
    width = len(start.names)
    full = [[field or None for field in row] + [None] * (width - len(row)) for row in rows]
    return pl.DataFrame(full, schema={name: pl.String for name in start.names}, orient="row")


def _is_irregular(path: Path, raw: bytes | None, start: CsvStart) -> bool:
    """Whether a quotation mark stands between two characters of a field, where a fast reader may drop it unsaid."""
    content = path.read_bytes() if raw is None else raw
    other = rb'[^"\r\n' + re.escape(start.separator.encode()) + rb"]"
    return re.search(other + b'"' + other, content[start.skip :]) is not None


def _strictly(path: Path, raw: bytes | None, start: CsvStart, header: bool) -> tuple[pl.DataFrame, bool]:
    """The table with every quotation mark that belongs to a value; whether backslashes stand before marks.

    Raises:
        DataError: naming the row of a mark that neither encloses a field nor is doubled.
    """
    content = (path.read_bytes() if raw is None else raw)[start.skip :]
    first, width, bad_row = 0 if header else 1, len(start.names), None
    for escaped in (False, True) if _ESCAPED in content else (False,):
        text = content.replace(_ESCAPED, b'""') if escaped else content
        with _open(path, text) as handle:
            _refuse_other_encodings(handle, path, first)
        with _open(path, text) as handle:
            found = ragged_row(handle, start.separator, width, first)
        if found is None:
            return _slowly(path, text, start, header), escaped
        bad_row = bad_row or found
    assert bad_row is not None
    raise DataError(bad_row[1], file=path, row=bad_row[0], hint=_QUOTES)


def _refuse_other_encodings(handle: IO[bytes], path: Path, first: int) -> None:
    for number, line in enumerate(handle, first):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            hint = "save it as UTF-8, or name its encoding in palate.yaml for this table, such as 'encoding: cp1252'"
            raise DataError(f"not UTF-8 ({error.reason})", file=path, row=number, hint=hint) from error


def _unquoted(values: pl.Series) -> pl.Series:
    """Fields without the marks that enclose them and with doubled marks as one."""
    enclosed = values.str.contains(r'^"(?:[^"]|"")*"$')
    if not enclosed.any():
        return values
    inner = values.str.slice(1, values.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    return pl.select(pl.when(enclosed).then(inner).otherwise(values).alias(values.name)).to_series()


def _without_tail(frame: pl.DataFrame) -> pl.DataFrame:
    """The table without the rows that blank lines, or the mark of DOS, make at the end of the file."""
    end = len(frame)
    while end and all(value in (None, "\x1a") for value in frame.row(end - 1)):
        end -= 1
    return frame.head(end)


def _swallowed(frame: pl.DataFrame, path: Path, separator: str) -> list[DataIssue]:
    """Fields that hold line ends although each line of them has as many separators as a row."""
    width = len(frame.columns)
    if width < 2 or not len(frame):
        return []
    first = frame[frame.columns[0]].drop_nulls()
    first = first.filter(~first.str.contains("\n", literal=True))
    if not len(first):
        return []
    longest = int(first.str.len_chars().max() or 0)  # type: ignore[arg-type]
    spaced = bool(first.str.contains(" ", literal=True).any())
    issues = []
    for place, column in enumerate(frame.columns):
        rows = frame[column].str.contains("\n", literal=True).arg_true()
        found = [
            (int(row) + 1, len(parts) - 1)
            for row in rows.head(100_000)
            if _are_rows(parts := frame[column][int(row)].split("\n"), separator, width, place, longest, spaced)
        ]
        if found:
            lost = sum(lines for _, lines in found)
            issues.append(
                DataIssue(
                    "rows_swallowed",
                    "warning",
                    f"a quoted field holds {lost} lines that look like rows of their own",
                    str(path),
                    tuple(row for row, _ in found[:_LISTED]),
                    column,
                    count=len(found),
                    hint="close or double the quotation mark, or set 'quote: none' for this table in palate.yaml",
                )
            )
    return issues


def _are_rows(parts: list[str], separator: str, width: int, place: int, longest: int, spaced: bool) -> bool:
    """Whether each line of a field is as a row is: as many separators, and an equally short first field."""
    if parts[0].count(separator) != width - 1 - place or parts[-1].count(separator) < place:
        return False
    if any(part.count(separator) != width - 1 for part in parts[1:-1]):
        return False
    firsts = [part.split(separator, 1)[0] for part in parts[1 if place else 0 :]]
    return all(0 < len(first) <= longest and (spaced or " " not in first.strip()) for first in firsts)
