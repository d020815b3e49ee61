"""JSON lines whose values change type from line to line: chosen keys only, in bounded memory, faults by line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import ArtefactError, DataError
from palate.core.files import read_json

MAX_LINE = 64 << 20
_CHUNK = 50_000

Column = tuple[pl.DataType, Callable[[dict[str, Any]], Any]]


def read_columns(path: Path, columns: Mapping[str, Column]) -> pl.DataFrame:
    """One row a line.

    Args:
        columns: name -> (type, function of the line's object); a value the type cannot hold names the line.
    """
    schema = {name: column[0] for name, column in columns.items()}
    pick = [column[1] for column in columns.values()]
    frames, rows, start = [], [], 1
    for number, record in _lines(path):
        rows.append([take(record) for take in pick])
        if len(rows) == _CHUNK:
            frames.append(_frame(rows, schema, path, start))
            rows, start = [], number + 1
    frames.append(_frame(rows, schema, path, start))
    return pl.concat(frames)


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def read_object(file: Path) -> dict[str, Any]:
    """One JSON object of a file; anything else names the file."""
    try:
        found = read_json(file)
    except (ArtefactError, RecursionError, OSError) as error:
        raise DataError(str(getattr(error, "message", error)), file=file) from error
    if not isinstance(found, dict):
        raise DataError("expected a JSON object", file=file)
    return found


def read_lists(file: Path, what: str, of: Callable[[Any], Any]) -> dict[int, list[Any]]:
    """Whole-number key -> list, {} where the file does not exist; ``of`` converts each value."""
    if not file.is_file():
        return {}
    try:
        return {int(key): [of(value) for value in values] for key, values in read_object(file).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"not a mapping of item to {what} ({str(error)[:100]})", file=file) from error


def keys_of(line: str) -> set[str]:
    """The keys of a JSON object, empty if the text is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()


def _lines(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as handle:
            while line := handle.readline(MAX_LINE):
                number += 1
                if len(line) >= MAX_LINE:
                    raise DataError(f"a line longer than {MAX_LINE >> 20} MiB", file=path, row=number)
                if line.strip():
                    yield number, _object(line, path, number)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot be read ({error})", file=path, row=number + 1, hint="is the download whole?"
        ) from error


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason})", file=path, row=number) from error
    except (ValueError, RecursionError) as error:
        hint = "the 2014 release writes Python literals; use 2018 or later" if line.startswith(b"{'") else None
        raise DataError(f"not a JSON object ({str(error)[:80]})", file=path, row=number, hint=hint) from error
    if not isinstance(found, dict):
        raise DataError("not a JSON object", file=path, row=number)
    return found


def _frame(rows: list[list[Any]], schema: Mapping[str, pl.DataType], path: Path, start: int) -> pl.DataFrame:
    try:
        return pl.DataFrame(rows, schema=dict(schema), orient="row", strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        for at, row in enumerate(rows):
            for (name, dtype), value in zip(schema.items(), row):
                try:
                    pl.Series([value], dtype=dtype, strict=True)
                except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as cause:
                    raise DataError(
                        f"{str(value)[:80]!r} is not {dtype}", file=path, row=start + at, column=name
                    ) from cause
        raise DataError(f"cannot be read ({error})", file=path) from error
