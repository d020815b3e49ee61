"""Which tables of a folder are the items, the interactions and the users, told by the names of their columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import IO, cast

import polars as pl

from palate.core.errors import DataError
from palate.data.column_names import find_role
from palate.data.csv_header import read_start
from palate.data.tables import ENDINGS, JSON_ENDINGS

MAX_TABLES = 30
_LISTED = 12


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
            return read_start(handle, "\t" if name.endswith(".tsv") else ",", path).names
    except (DataError, OSError, EOFError, ValueError, pl.exceptions.PolarsError):
        return []


def _open(path: Path) -> IO[bytes]:
    packed = path.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(path)) if packed else open(path, "rb")
