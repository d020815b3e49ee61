"""Read and write one table: CSV, TSV, Parquet or JSONL (also .gz); errors name file and row."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path
from typing import IO

import polars as pl

from palate.core.errors import DataError
from palate.core.files import atomic_path
from palate.data.csv_header import MAX_COLUMNS, header_names, ragged_row

ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_FOREIGN = {
    b"PK\x03\x04": ("a zip or Excel file", "export it as CSV or Parquet"),
    b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
    b"\x80\x02": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x80\x03": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x80\x04": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x80\x05": ("a pickle, which can run code when read", "export it as CSV or Parquet"),
    b"\x93NUM": ("a NumPy array, not a table", "name it <modality>_feat.npy beside the tables"),
    b"\x89PNG": ("a picture, not a table", None),
}
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
UNPACKED = 256 << 20


def find_table(folder: Path, *stems: str) -> Path | None:
    """The first table of one of these names, plain or with ``.gz``; None if there is none.

    Args:
        folder: where to look.
        stems: file names without their ending.
    """
    for stem in stems:
        for ending in ENDINGS:
            for tail in ("", ".gz") if ending != ".parquet" else ("",):
                if (folder / f"{stem}{ending}{tail}").is_file():
                    return folder / f"{stem}{ending}{tail}"
    return None


def read_table(path: Path) -> pl.DataFrame:
    """Read a table.

    A byte-order mark is dropped, a lone surrogate in JSON becomes U+FFFD, and a CSV whose header lacks the expected
    separator but has one of comma, tab, semicolon or bar is read with that one.

    Args:
        path: the file; its first bytes and its ending decide the format.

    Raises:
        DataError: naming file and row: empty, not UTF-8, NUL bytes, ragged rows, open quotes, damaged Parquet,
            repeated or too many columns, a line that is not a JSON object.
    """
    try:
        raw = _plain_bytes(path)
        start = _start(path) if raw is None else raw[:4]
        if not start:
            raise DataError("the file is empty", file=path)
        for magic, (content, hint) in _FOREIGN.items():
            if start.startswith(magic):
                raise DataError(f"this is {content}", file=path, hint=hint)
        if start == b"PAR1":
            return _checked(pl.read_parquet(path), path)
        _no_nul(path, raw)
        name = path.name.removesuffix(".gz")
        if name.endswith(JSON_ENDINGS) or start[:1] == b"{" or start == _BOM + b"{":
            return _checked(_read_jsonl(path, raw), path)
        return _read_csv(path, raw, "\t" if name.endswith(".tsv") else ",")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"cannot be read ({_short(error)})", file=path, hint="check quoting and encoding") from error
    except pl.exceptions.PanicException as error:
        raise DataError("the file is damaged", file=path, hint="write it again") from error
    except (OSError, zlib.error, EOFError) as error:
        raise DataError(f"cannot be opened ({getattr(error, 'strerror', None) or error})", file=path) from error


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
            raise DataError("unknown table ending", file=path, hint=f"use one of {', '.join(ENDINGS)}")


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


def _read_csv(path: Path, raw: bytes | None, separator: str) -> pl.DataFrame:
    with _open(path, raw) as handle:
        names, separator = header_names(handle, separator, path)
    for length in (10_000, None):
        try:
            frame = pl.read_csv(
                path if raw is None else raw, separator=separator, infer_schema_length=length, encoding="utf8"
            )
            break
        except pl.exceptions.PolarsError as error:
            with _open(path, raw) as handle:
                _not_utf8(handle, path)
            with _open(path, raw) as handle:
                bad_row = ragged_row(handle, separator, len(names))
            if bad_row is not None:
                row, message = bad_row
                raise DataError(message, file=path, row=row, hint="check separators and quotes") from error
            if length is None:
                raise
    if len(frame.columns) != len(names):
        raise DataError(f"{len(names)} column names for {len(frame.columns)} columns", file=path)
    frame.columns = names
    return frame


def _not_utf8(handle: IO[bytes], path: Path) -> None:
    for number, line in enumerate(handle):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8 ({error.reason})", file=path, row=number, hint="save it as UTF-8") from error


def _read_jsonl(path: Path, raw: bytes | None) -> pl.DataFrame:
    if raw is None and _start(path)[:3] == _BOM:
        raw = path.read_bytes()
    if raw is not None:
        raw = raw.removeprefix(_BOM)
    try:
        frame = pl.read_ndjson(path if raw is None else raw, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        with _open(path, raw) as handle:
            row, problem = _first_bad_line(handle) or (None, _short(error))
        raise DataError(f"not JSON lines ({problem})", file=path, row=row, hint="one JSON object a line") from error
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
