"""Tab separated lines without quoting: a quotation mark is a character like any other."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from palate.core.errors import DataError
from palate.data.tables import gunzip


def lines_of(file: Path, names: tuple[str, ...], header: bool = False) -> pl.DataFrame:
    """All columns as text, trimmed; empty fields are null.

    Args:
        file: the file, plain or gzipped.
        names: names of the columns.
        header: whether the first line is a header, which is skipped; rows then count from the line after it.

    Raises:
        DataError: naming the row: not UTF-8, a NUL byte, another number of fields.
    """
    raw = file.read_bytes()
    raw = gunzip(file) if raw[:2] == b"\x1f\x8b" else raw
    first = 0 if header else 1
    if b"\0" in raw:
        row = raw.count(b"\n", 0, raw.index(b"\0")) + first
        raise DataError("a NUL byte", file=file, row=row, hint="is it UTF-16 or binary? save as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + first
        raise DataError(f"not UTF-8 ({error.reason})", file=file, row=row, hint="save it as UTF-8") from error
    lines = pl.Series("line", text.split("\n"), dtype=pl.String).str.strip_suffix("\r")
    frame = pl.DataFrame({"line": lines}).with_row_index("row", first)
    frame = frame.slice(1 if header else 0).filter(pl.col("line").str.strip_chars() != "")
    if not len(frame):
        raise DataError("the file has no rows", file=file)
    counts = frame["line"].str.count_matches("\t", literal=True) + 1
    wrong = (counts != len(names)).arg_true()
    if len(wrong):
        at = int(wrong[0])
        message = f"{counts[at]} fields, expected {len(names)}"
        raise DataError(message, file=file, row=int(frame["row"][at]), hint="tabs separate the fields")
    parts = frame["line"].str.split("\t")
    columns = [parts.list.get(at).str.strip_chars().alias(name) for at, name in enumerate(names)]
    return pl.DataFrame(columns).with_columns(pl.col(pl.String).replace("", None))
