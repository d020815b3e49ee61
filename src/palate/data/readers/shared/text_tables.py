"""Tables of text in the forms that public data sets have: no header, odd separators, Latin-1."""

from __future__ import annotations

import zlib
from pathlib import Path

import polars as pl

from palate.core.errors import DataError
from palate.data.encodings import likely_encoding
from palate.data.source_table import SourceTable
from palate.data.table_format import TableFormat
from palate.data.tables import read_source


def read_text(
    file: Path, separator: str, names: tuple[str, ...] = (), quote: bool | None = False, absent: tuple[str, ...] = ()
) -> SourceTable:
    """A table of text in UTF-8 or, where it is not, in Latin-1.

    Args:
        file: the file, plain or gzipped.
        separator: between fields, of any length.
        names: names of the columns of a file without a header.
        quote: whether quotation marks enclose fields; found out if None.
        absent: words for no value beside empty fields.

    Raises:
        DataError: naming file and row, as :func:`palate.data.tables.read_source`.
    """
    form = TableFormat(encoding_of(file), separator, not names, names, quote, absent)
    source = read_source(file, form)
    if not len(source.frame):
        raise DataError("the file has no rows", file=file)
    return source


def encoding_of(file: Path) -> str:
    """``utf-8``, or ``latin-1`` for a file that is not UTF-8.

    Args:
        file: the file, plain or gzipped.

    Raises:
        DataError: if it cannot be read, or is no regular file.
    """
    try:
        return "utf-8" if likely_encoding(file) == "utf-8" else "latin-1"
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be opened ({error})", file=file) from error


def write_text(frame: pl.DataFrame, file: Path, separator: str, header: bool = True, encoding: str = "utf-8") -> None:
    """Write a table without quotation marks.

    Args:
        frame: columns that can be written as text.
        file: the file.
        separator: between fields, of any length.
        header: whether the first line names the columns.
        encoding: of the file.

    Raises:
        DataError: naming the row of a text that holds the separator, a line break or a character that the encoding
            lacks.
    """
    texts = frame.select(pl.all().cast(pl.String).fill_null(""))
    for column in texts.iter_columns():
        bad = (column.str.contains(separator, literal=True) | column.str.contains(r"[\r\n]")).arg_true()
        if len(bad):
            hint = "use layout folder"
            message = f"this layout cannot hold a line break or {separator!r} in a text"
            raise DataError(message, row=int(bad[0]) + 1, column=column.name, hint=hint)
    lines = [separator.join(row) for row in texts.iter_rows()]
    try:
        raw = "\n".join([*([separator.join(frame.columns)] if header else []), *lines, ""]).encode(encoding)
    except UnicodeEncodeError as error:
        raise DataError(f"{encoding} lacks {error.object[error.start]!r}", hint="use layout folder") from error
    file.write_bytes(raw)
