"""JSON lines whose values change type from line to line, read by chosen keys in bounded memory."""

from __future__ import annotations

import ast
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
MAX_LITERAL = 1 << 20
"""Characters of a line in the spelling of Python; longer ones are refused."""
_CHUNK = 50_000

Column = tuple[pl.DataType, Callable[[dict[str, Any]], Any]]


def read_columns(path: Path, columns: Mapping[str, Column], literals: bool = False) -> pl.DataFrame:
    """A table with one row a line.

    Args:
        path: the file, plain or gzipped.
        columns: name -> (type, function of the line's object).
        literals: whether lines may be dictionaries in the spelling of Python; nothing is executed.

    Raises:
        DataError: naming the line that is not an object, or holds a value of another type.
    """
    schema = {name: column[0] for name, column in columns.items()}
    getters = [column[1] for column in columns.values()]
    frames, rows, start = [], [], 1
    for number, record in _lines(path, literals):
        rows.append([get(record) for get in getters])
        if len(rows) == _CHUNK:
            frames.append(_frame(rows, schema, path, start))
            rows, start = [], number + 1
    frames.append(_frame(rows, schema, path, start))
    return pl.concat(frames)


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line.

    Args:
        path: the file.
        records: the objects.
    """
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Args:
        file: the file.

    Raises:
        DataError: if it holds anything else.
    """
    try:
        loaded = read_json(file)
    except (ArtefactError, RecursionError, OSError) as error:
        raise DataError(str(getattr(error, "message", error)), file=file) from error
    if not isinstance(loaded, dict):
        raise DataError("expected a JSON object", file=file)
    return loaded


def read_lists(file: Path, plural: str, convert: Callable[[Any], Any]) -> dict[int, list[Any]]:
    """A mapping of whole numbers to lists; empty if the file does not exist.

    Args:
        file: the file.
        plural: what the lists hold, for error messages.
        convert: applied to each value.

    Raises:
        DataError: if the file holds anything else.
    """
    if not file.is_file():
        return {}
    loaded = read_object(file)
    try:
        for key in loaded:
            if str(int(key)) != key:
                raise ValueError(f"{key!r} is not the usual spelling of a whole number")
        return {int(key): [convert(value) for value in values] for key, values in loaded.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"not a mapping of items to {plural} ({str(error)[:100]})", file=file) from error


def keys_of(line: str, literals: bool = False) -> set[str]:
    """The keys of a JSON object; empty for any other text.

    Args:
        line: the text.
        literals: whether it may be a dictionary in the spelling of Python.
    """
    try:
        loaded = parse_object(line, literals)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return set()
    return set(loaded) if isinstance(loaded, dict) else set()


def parse_object(line: str, literals: bool = False) -> Any:
    """The value of a line.

    Args:
        line: the text.
        literals: whether it may be in the spelling of Python.

    Raises:
        ValueError: if it cannot be read; also SyntaxError, TypeError, MemoryError and RecursionError.
    """
    if not literals or len(line) > MAX_LITERAL:
        return json.loads(line)
    try:
        return json.loads(line)
    except ValueError:
        return ast.literal_eval(line.strip())


def _lines(path: Path, literals: bool = False) -> Iterable[tuple[int, dict[str, Any]]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as handle:
            while line := handle.readline(MAX_LINE):
                number += 1
                if len(line) >= MAX_LINE:
                    raise DataError(f"a line longer than {MAX_LINE >> 20} MiB", file=path, row=number)
                if line.strip():
                    yield number, _object(line, path, number, literals)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot be read ({error})", file=path, row=number + 1, hint="is the download complete?"
        ) from error


def _object(line: bytes, path: Path, number: int, literals: bool) -> dict[str, Any]:
    try:
        loaded = parse_object(line.decode("utf-8-sig" if number == 1 else "utf-8"), literals)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason})", file=path, row=number) from error
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        hint = "the 2014 release writes Python literals; use 2018 or later" if line.startswith(b"{'") else None
        raise DataError(f"not a JSON object ({str(error)[:80]})", file=path, row=number, hint=hint) from error
    if not isinstance(loaded, dict):
        raise DataError("not a JSON object", file=path, row=number)
    return loaded


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
