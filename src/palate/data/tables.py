"""Read and write one table: CSV, TSV, Parquet or JSONL (also .gz); errors name file and row."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import polars as pl

from palate.core.errors import DataError
from palate.core.files import atomic_path
from palate.data.csv_header import MAX_COLUMNS
from palate.data.csv_reader import read_csv
from palate.data.issues import DataIssue
from palate.data.json_array import as_lines, is_array
from palate.data.regular_file import check_regular, odd_kind
from palate.data.source_table import SourceTable, typed_table
from palate.data.table_format import TableFormat

ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_FOREIGN = {
    b"PK\x03\x04": ("a zip or Excel file", "export it as CSV or Parquet"),
    b"\x80\x02": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x80\x03": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x80\x04": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x80\x05": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x93NUM": ("a NumPy array, not a table", "name it <modality>_feat.npy beside the tables"),
    b"\x89PNG": ("a picture, not a table", None),
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
UNPACKED = 256 << 20
PARQUET_BYTES = 1 << 30
"""A Parquet table that would need more memory than this must not be a thousand times larger than its file."""


def tables_named(folder: Path, stem: str) -> list[Path]:
    """All tables of one name, plain or with ``.gz``, in the order of ``ENDINGS``.

    Args:
        folder: where to look.
        stem: file name without its ending.
    """
    names = [f"{stem}{end}{tail}" for end in ENDINGS for tail in ("", ".gz") if not (tail and end == ".parquet")]
    return [file for name in names if (file := folder / name).is_file() or odd_kind(file) is not None]


def find_table(folder: Path, *stems: str) -> Path | None:
    """The table of the first of these names that there is; None if there is none.

    Args:
        folder: where to look.
        stems: file names without their ending.

    Raises:
        DataError: if there are several tables of the name, a link that leaves the folder, or no regular file.
    """
    for stem in stems:
        found = tables_named(folder, stem)
        if len(found) > 1:
            names = " and ".join(file.name for file in found)
            hint = f"keep one, or choose one in palate.yaml: {stem}: {{file: {found[0].name}}}"
            raise DataError(f"several tables of one name: {names}", file=folder, key=stem, hint=hint)
        if found:
            check_regular(found[0], folder)
            return found[0]
    return None


def read_table(path: Path, text: Collection[str] = (), form: TableFormat | None = None) -> pl.DataFrame:
    """Read a table.

    A byte-order mark is dropped, a lone surrogate in JSON becomes U+FFFD, and a CSV whose header lacks the expected
    separator but has one of comma, tab, semicolon or bar is read with that one.

    Args:
        path: the file; its first bytes and its ending decide the format.
        text: columns that stay text as they are spelled, such as ids, whatever they look like.
        form: encoding, separator, header and quotes of a CSV file; found out by default.

    Raises:
        DataError: naming file and row: empty, not UTF-8, NUL bytes, ragged rows, open quotes, damaged Parquet,
            repeated or too many columns, a line that is not a JSON object, a pipe or device.
    """
    source = read_source(path, form)
    return source.frame.with_columns(source.spelled(column) for column in text if column in source.frame.columns)


def read_source(path: Path, form: TableFormat | None = None) -> SourceTable:
    """Read a table, and keep how the values of its columns are spelled.

    Args:
        path: the file; its first bytes and its ending decide the format.
        form: encoding, separator, header and quotes of a CSV file; found out by default.

    Raises:
        DataError: as :func:`read_table`.
    """
    form = form or TableFormat()
    check_regular(path)
    try:
        raw = _plain_bytes(path)
        start = _start(path) if raw is None else raw[:4]
        if not start:
            raise DataError("the file is empty", file=path)
        if start[:2] in _UTF16 and "16" not in form.encoding:
            way = "save it as UTF-8, or set 'encoding: utf-16' for this table in palate.yaml"
            raise DataError("this is UTF-16 text", file=path, hint=way)
        for magic, (content, hint) in _FOREIGN.items():
            if start.startswith(magic):
                raise DataError(f"this is {content}", file=path, hint=hint)
        issues: tuple[DataIssue, ...] = ()
        if start == b"PAR1":
            frame, from_text = _checked(_read_parquet(path), path), False
        elif _is_json(path, start):
            _no_nul(path, raw)
            frame, from_text = _checked(_read_jsonl(path, raw), path), False
        else:
            tabs = path.name.removesuffix(".gz").endswith(".tsv")
            (frame, issues), from_text = read_csv(path, raw, "\t" if tabs else ",", form), True
    except pl.exceptions.PolarsError as error:
        raise DataError(f"cannot be read ({_short(error)})", file=path, hint="check quoting and encoding") from error
    except pl.exceptions.PanicException as error:
        raise DataError("the file is damaged", file=path, hint="write it again") from error
    except (OSError, zlib.error, EOFError) as error:
        raise DataError(f"cannot be opened ({getattr(error, 'strerror', None) or error})", file=path) from error
    return typed_table(frame, form.absent, from_text, issues)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table atomically.

    Args:
        frame: the table.
        path: the file; its ending chooses the format.

    Raises:
        DataError: for an unknown ending.
    """
    with atomic_path(path) as aside:
        if path.suffix == ".parquet":
            frame.write_parquet(aside)
        elif path.suffix in (".jsonl", ".ndjson"):
            frame.write_ndjson(aside)
        elif path.suffix in (".csv", ".tsv"):
            frame.write_csv(aside, separator="\t" if path.suffix == ".tsv" else ",")
        else:
            raise DataError("unknown table ending", file=path, hint=f"use one of {', '.join(ENDINGS[:-1])}")


def gunzip(path: Path) -> bytes:
    """The unpacked bytes of a .gz file.

    Args:
        path: the file.

    Raises:
        DataError: if it grows more than a hundredfold and over 256 MiB, as decompression bombs do.
    """
    import gzip

    limit = max(UNPACKED, 100 * path.stat().st_size)
    parts, size = [], 0
    with gzip.open(path, "rb") as handle:
        while piece := handle.read(_CHUNK):
            size += len(piece)
            if size > limit:
                raise DataError(f"unpacks to more than {limit >> 20} MiB", file=path, hint="unpack it first")
            parts.append(piece)
    return b"".join(parts)


def _is_json(path: Path, start: bytes) -> bool:
    return path.name.removesuffix(".gz").endswith(JSON_ENDINGS) or start[:1] == b"{" or start == _BOM + b"{"


def _read_parquet(path: Path) -> pl.DataFrame:
    """A Parquet table; one whose metadata promise far more values than its bytes can hold is refused unread."""
    lazy = pl.scan_parquet(path)
    rows, columns = int(lazy.select(pl.len()).collect().item()), len(lazy.collect_schema())
    needed = 8 * rows * columns
    if needed > max(PARQUET_BYTES, 1000 * path.stat().st_size):
        raise DataError(
            f"{rows:,} rows of {columns} columns in {path.stat().st_size:,} bytes",
            file=path,
            hint="a table packed this tightly is refused; write it again with fewer rows",
        )
    return pl.read_parquet(path)


def _plain_bytes(path: Path) -> bytes | None:
    """The unpacked bytes of a .gz file, else None: plain files are read by polars itself."""
    return gunzip(path) if _start(path)[:2] == b"\x1f\x8b" else None


def _start(path: Path) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(4)


def _open(path: Path, raw: bytes | None) -> IO[bytes]:
    return open(path, "rb") if raw is None else io.BytesIO(raw)


def _no_nul(path: Path, raw: bytes | None) -> None:
    with _open(path, raw) as handle:
        lines = 0
        while chunk := handle.read(_CHUNK):
            at = chunk.find(b"\0")
            if at >= 0:
                row = lines + chunk.count(b"\n", 0, at)
                raise DataError("a NUL byte", file=path, row=row or None, hint="is it UTF-16 or binary? save as UTF-8")
            lines += chunk.count(b"\n")


def _read_jsonl(path: Path, raw: bytes | None) -> pl.DataFrame:
    if raw is None and (_start(path)[:3] == _BOM or path.name.lower().endswith(".json") or is_array(_start(path))):
        raw = path.read_bytes()
    if raw is not None:
        raw = as_lines(raw.removeprefix(_BOM), path)
    try:
        frame = pl.read_ndjson(path if raw is None else raw, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        with _open(path, raw) as handle:
            row, problem = _first_bad_line(handle) or (None, _short(error))
        raise DataError(
            f"not JSON lines ({problem})", file=path, row=row, hint="one JSON object a line, or one array"
        ) from error
    if not frame.columns:
        raise DataError("the objects have no keys", file=path)
    return frame.with_columns(pl.col(pl.String).str.replace_all("\0", "\ufffd", literal=True))


def _first_bad_line(handle: IO[bytes]) -> tuple[int, str] | None:
    for number, line in enumerate(handle, 1):
        if not line.strip():
            continue
        try:
            if not isinstance(json.loads(line.decode("utf-8"), parse_constant=_no_constant), dict):
                return number, "not an object"
        except UnicodeDecodeError as error:
            return number, f"not UTF-8: {error.reason}"
        except (ValueError, RecursionError) as error:
            return number, str(error)[:100]
    return None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON; write null")


def _checked(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    if len(frame.columns) > MAX_COLUMNS:
        raise DataError(f"{len(frame.columns)} columns", file=path, hint=f"keep at most {MAX_COLUMNS}")
    return frame


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
