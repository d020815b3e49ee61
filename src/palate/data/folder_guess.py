"""Which tables of a folder are the items, the interactions and the users, told by the names of their columns."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import IO, NamedTuple, cast

import polars as pl

from palate.core.errors import DataError
from palate.data.column_names import find_role
from palate.data.csv_header import read_start
from palate.data.encodings import likely_encoding
from palate.data.table_format import TableFormat
from palate.data.tables import ENDINGS, JSON_ENDINGS, read_table
from palate.data.times import looks_like_time

MAX_TABLES = 30
_START_BYTES, _HEADER_BYTES = 8 << 20, 1 << 16
_LISTED = 12
_ROWS = 20_000
"""Rows of a table that are compared."""
_SHARED, _REPEATING = 0.5, 0.5
"""Share of a log's values that the items must hold, and of distinct values that a column of users has at most."""


def folder_columns(folder: Path) -> dict[Path, list[str]]:
    """The tables of a folder with the names of their columns; files that cannot be read have none.

    Args:
        folder: the folder.
    """
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.name.lower().removesuffix(".gz").endswith(ENDINGS) and path.is_file() and path.name[0] not in "._"
    ]
    return {path: _columns(path) for path in files[:MAX_TABLES]}


def guess_tables(tables: dict[Path, list[str]]) -> dict[str, Path]:
    """The tables of items, interactions and users, where the names of the columns leave no doubt.

    Args:
        tables: file -> names of its columns.

    Returns:
        ``items``, ``interactions`` and maybe ``users`` -> file; empty where the first two cannot be told.
    """
    users = {path for path, columns in tables.items() if find_role("user", columns)}
    items = {path for path, columns in tables.items() if find_role("item", columns)}
    logs = [path for path in tables if path in users and path in items and _two_keys(tables[path])]
    rest = [path for path in tables if path not in logs]
    goods = [
        path for path in rest if path in items and not (path in users and find_role("item", tables[path])[0] == "id")
    ]
    if len(logs) != 1 or len(goods) != 1:
        return {}
    people = [path for path in rest if path in users and path not in goods]
    found = {"items": goods[0], "interactions": logs[0]}
    return found | ({"users": people[0]} if len(people) == 1 else {})


class KeyGuess(NamedTuple):
    """Tables that share a column of ids, told by its values.

    Attributes:
        items: the table in which each value stands once.
        log: the table in which values repeat.
        item: name of the shared column.
        user: column of the log with the most values that repeat, beside it; None if there is none.
        times: columns of the log that look like its time.
    """

    items: Path
    log: Path
    item: str
    user: str | None
    times: tuple[str, ...] = ()


def guess_by_values(tables: dict[Path, list[str]]) -> KeyGuess | None:
    """Items and interactions of two tables whose names say nothing, by a column that both have.

    Args:
        tables: file -> names of its columns.

    Returns:
        The guess; None where no pair or several pairs of tables qualify.
    """
    heads = {path: head for path, columns in tables.items() if columns and (head := _head(path)) is not None}
    found = []
    for items, goods in heads.items():
        for log, events in heads.items():
            shared = [column for column in goods.columns if column in events.columns and log != items]
            found += [
                KeyGuess(items, log, column, *_user_and_times(events, column))
                for column in shared
                if _is_key(goods[column].drop_nulls(), events[column].drop_nulls())
            ]
    return found[0] if len(found) == 1 else None


def _is_key(known: pl.Series, taken: pl.Series) -> bool:
    """Whether values stand once in ``known``, repeat in ``taken`` and are mostly the same."""
    if not len(known) or known.n_unique() < len(known) or taken.n_unique() == len(taken):
        return False
    return int(taken.is_in(known.implode()).sum()) >= _SHARED * len(taken)


def _user_and_times(events: pl.DataFrame, item: str) -> tuple[str | None, tuple[str, ...]]:
    rest = [column for column in events.columns if column != item]
    times = tuple(column for column in rest if looks_like_time(events[column]))
    counts = {column: events[column].drop_nulls().n_unique() for column in rest if column not in times}
    several = {column: n for column, n in counts.items() if 1 < n <= _REPEATING * len(events)}
    return max(several, key=lambda column: several[column]) if several else None, times


def guess_encoding(path: Path, limit: int | None = None) -> str | None:
    """The likely encoding of a table of comma-separated or similar text that is not UTF-8; None for any other.

    Args:
        path: the table.
        limit: bytes from its start that are looked at; as many as :func:`likely_encoding` reads by default.

    Raises:
        DataError: for a pipe or device.
        OSError: if the file cannot be read.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((*JSON_ENDINGS, ".parquet")):
        return None
    found = likely_encoding(path) if limit is None else likely_encoding(path, limit)
    return None if found == "utf-8" else found


def read_guessed(path: Path) -> pl.DataFrame:
    """Read a table by its likely encoding.

    Args:
        path: the table.

    Raises:
        DataError: as :func:`palate.data.tables.read_table`.
        OSError: if the file cannot be read.
    """
    encoding = guess_encoding(path)
    return read_table(path, form=None if encoding is None else TableFormat(encoding=encoding))


def _head(path: Path) -> pl.DataFrame | None:
    try:
        return read_guessed(path).head(_ROWS).select(pl.all().cast(pl.String, strict=False))
    except (DataError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def describe_tables(tables: dict[Path, list[str]]) -> str:
    """The tables with their columns, as one line.

    Args:
        tables: file -> names of its columns.
    """
    return "; ".join(
        f"{path.name} ({', '.join(columns[:_LISTED])}{', ...' if len(columns) > _LISTED else ''})"
        for path, columns in tables.items()
    )


def _two_keys(columns: list[str]) -> bool:
    """Whether a user and an item are named by two different columns."""
    user = find_role("user", columns)[0]
    return any(column != user for column in find_role("item", columns))


def _columns(path: Path) -> list[str]:
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            return list(pl.read_parquet_schema(path))
        with _open(path) as handle:
            if name.endswith(JSON_ENDINGS):
                first = json.loads(handle.readline(1 << 20))
                return list(first) if isinstance(first, dict) else []
            # only the header is needed, and folders are recognised at every load
            encoding = guess_encoding(path, _HEADER_BYTES)
            if encoding is not None:
                start = handle.read(_START_BYTES).decode(encoding, errors="ignore")
                handle = io.BytesIO(start.removeprefix("\ufeff").encode())
            return read_start(handle, "\t" if name.endswith(".tsv") else ",", path).names
    except (DataError, OSError, EOFError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return []


def _open(path: Path) -> IO[bytes]:
    packed = path.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(path)) if packed else open(path, "rb")
