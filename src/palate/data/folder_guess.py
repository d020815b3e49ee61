"""Which tables of a folder are the items, the interactions and the users, told by the names of their columns."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, NamedTuple, cast

import polars as pl

from palate.core.errors import DataError
from palate.data.column_names import find_role, is_known_name, is_text_name, name_words
from palate.data.csv_header import read_start
from palate.data.encodings import likely_encoding
from palate.data.json_array import first_keys
from palate.data.source_table import SourceTable
from palate.data.table_format import TableFormat
from palate.data.tables import ENDINGS, JSON_ENDINGS, read_source
from palate.data.times import looks_like_time

MAX_TABLES = 30
_START_BYTES, _HEADER_BYTES = 8 << 20, 1 << 16
_LISTED = 12
_TEXT_ENDINGS = (".txt", ".dat", ".tab", ".data", ".psv")
_PACKED = (".xlsx", ".xls", ".ods", ".numbers", ".zip", ".7z", ".rar", ".tar", ".tgz", ".sqlite", ".db", ".sql", ".pkl")
_LOG_WORDS = frozenset(
    [
        *("order", "orders", "click", "clicks", "event", "events", "log", "logs", "interaction", "interactions"),
        *("rating", "ratings", "review", "reviews", "transaction", "transactions", "purchase", "purchases", "views"),
        *("sales", "history", "buys", "plays", "bestellungen", "pedidos", "commandes"),
    ]
)
_ITEM_WORDS = frozenset(
    [
        *("product", "products", "item", "items", "movie", "movies", "book", "books", "catalog", "catalogue", "goods"),
        *("article", "articles", "track", "tracks", "song", "songs", "news", "titles", "artikel", "produkte"),
        *("productos", "produits", "business", "games", "recipes"),
    ]
)
_ROWS = 20_000
"""Rows of a table that are compared."""
_SHARED, _REPEATING = 0.5, 0.5
"""Share of a log's values that the items must hold, and of distinct values that a column of users has at most."""


def folder_columns(folder: Path) -> dict[Path, list[str]]:
    """The tables of a folder with the names of their columns; files that cannot be read have none.

    Args:
        folder: the folder.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] not in "._"]
    usual = [path for path in files if path.name.lower().removesuffix(".gz").endswith(ENDINGS)]
    texts = [path for path in files if path.name.lower().removesuffix(".gz").endswith(_TEXT_ENDINGS)]
    found = {path: _columns(path) for path in usual[:MAX_TABLES]}
    named = {path: columns for path in texts[:MAX_TABLES] if sum(map(is_known_name, columns := _columns(path))) > 1}
    return dict(sorted((found | named).items()))


def guess_tables(tables: dict[Path, list[str]]) -> dict[str, list[Path]]:
    """The tables of items, interactions and users, where the names of the columns leave no doubt.

    Tables of the same columns are one table in several files. Without a table of items, the interactions name them.

    Args:
        tables: file -> names of its columns.

    Returns:
        ``items``, ``interactions`` and, if there is such a table, ``users`` -> files; empty if items or interactions
        were not found.
    """
    users = {path for path, columns in tables.items() if find_role("user", columns)}
    items = {path for path, columns in tables.items() if find_role("item", columns)}
    logs = [path for path in tables if path in users and path in items and _two_keys(tables[path])]
    rest = [path for path in tables if path not in logs]
    goods = [
        path for path in rest if path in items and not (path in users and find_role("item", tables[path])[0] == "id")
    ]
    people = [path for path in rest if path in users and path not in goods]
    others = [path for path in rest if path not in goods and path not in people]
    if not goods and logs:
        others += _packed_tables(logs[0].parent)
    if not _alike(logs, tables) or not (_alike(goods, tables) if goods else not others):
        return {}
    found = {"items": goods or logs, "interactions": logs}
    return found | ({"users": people} if len(people) == 1 else {})


def _packed_tables(folder: Path) -> list[Path]:
    """Files of a folder that may hold tables and are not read, such as those of spreadsheets."""
    return [
        path for path in sorted(folder.iterdir()) if path.name.lower().endswith(_PACKED) and path.name[0] not in "._"
    ]


def no_table_hint(folder: Path) -> str:
    """What to do with a folder that has no table with names of columns.

    Args:
        folder: the folder.
    """
    others = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] not in "._"]
    hint = "expected .csv, .tsv, .parquet, .json or .jsonl files"
    if not others:
        return hint
    hint += f", found {', '.join(path.name for path in others[:_LISTED])}"
    if any(path.name.lower().endswith(_PACKED) for path in others):
        return f"{hint}: unpack it, or export its tables as CSV"
    return (
        f"{hint}; for a table without names write palate.yaml: interactions: {{file: FILE, header: none, names: [...]}}"
    )


def likely_tables(tables: dict[Path, list[str]]) -> tuple[Path | None, Path | None]:
    """The files that are most likely the items and the interactions, None for one that nothing speaks for.

    Args:
        tables: file -> names of its columns.
    """
    log = max(tables, key=lambda path: _log_score(path, tables[path]), default=None)
    if log is None or not _log_score(log, tables[log]):
        log = None
    rest = [path for path in tables if path != log]
    return max(rest, key=lambda path: _item_score(path, tables[path]), default=None), log


def _log_score(path: Path, columns: list[str]) -> int:
    roles = {role: bool(find_role(role, columns)) for role in ("user", "item", "time", "event", "rating", "weight")}
    named = bool(set(name_words(path.stem)) & _LOG_WORDS)
    return 3 * roles["user"] + 2 * roles["time"] + roles["event"] + roles["rating"] + roles["weight"] + 2 * named


def _item_score(path: Path, columns: list[str]) -> int:
    texts = sum(map(is_text_name, columns))
    named = bool(set(name_words(path.stem)) & _ITEM_WORDS)
    return 3 * bool(find_role("item", columns)) + min(texts, 2) + 3 * named - 2 * bool(find_role("user", columns))


def _alike(paths: list[Path], tables: dict[Path, list[str]]) -> bool:
    """Whether there are files and all have the same columns."""
    return bool(paths) and all(set(tables[path]) == set(tables[paths[0]]) for path in paths)


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


def read_guessed(path: Path) -> SourceTable:
    """Read a table by its likely encoding.

    Args:
        path: the table.

    Raises:
        DataError: as :func:`palate.data.tables.read_source`.
        OSError: if the file cannot be read.
    """
    encoding = guess_encoding(path)
    return read_source(path, None if encoding is None else TableFormat(encoding=encoding))


def _head(path: Path) -> pl.DataFrame | None:
    try:
        return read_guessed(path).frame.head(_ROWS).select(pl.all().cast(pl.String, strict=False))
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
                return first_keys(handle.read(_START_BYTES), path)
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
