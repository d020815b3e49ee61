"""Lists for people and for files: with titles, for many users block by block."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import polars as pl

from palate.core.errors import ConfigError
from palate.core.files import atomic_path
from palate.core.progress import progress
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.training.deployment import Deployment, OnUnknown

BLOCK = 2048
"""Users whose lists are in memory at once."""
TITLES = ("title", "name")
"""Columns that may hold the title of an item; the first that exists is read, else the first column of text."""

Write = Callable[[pl.DataFrame], None]


class Recommends(Protocol):
    """A fitted model that makes lists."""

    def recommend(self, users: Any = None, k: int = 10, *, on_unknown: OnUnknown = "error") -> pl.DataFrame:
        """Lists of users, see :meth:`palate.models.base.Recommender.recommend`."""
        ...


def with_titles(lists: pl.DataFrame, items: Catalog) -> pl.DataFrame:
    """The lists with a column ``title`` behind ``item``, where the catalogue has titles.

    Args:
        lists: with a column ``item``.
        items: the catalogue.
    """
    columns = {column.lower(): column for column in items.frame.columns}
    named = [columns[name] for name in TITLES if name in columns] or items.columns("text")
    if not named:
        return lists
    titles = items.frame[named[0]].gather(items.ids.rows(lists["item"])).cast(pl.String, strict=False)
    return lists.insert_column(lists.columns.index("item") + 1, titles.alias("title"))


def known_or_split(values: Iterable[str], ids: IdMap) -> list[str]:
    """Ids from the command line: a known id as it is, anything else split at commas.

    Args:
        values: of a repeatable option.
        ids: that are known.
    """
    found: list[str] = []
    for value in values:
        whole = "," not in value or ids.rows([value], "mark")[0] >= 0
        found += [value] if whole else [part.strip() for part in value.split(",") if part.strip()]
    return found


def write_lists(
    model: Recommends,
    deployment: Deployment,
    file: str | Path,
    k: int = 10,
    users: Sequence[Any] | None = None,
    on_unknown: OnUnknown = "error",
    overwrite: bool = False,
) -> int:
    """Write the lists of users to a file, which appears whole; one block of users is in memory at a time.

    Args:
        model: makes the lists.
        deployment: of the model.
        file: ``.parquet``, ``.csv`` or ``.jsonl``.
        k: items a user.
        users: external ids; all known users if not given.
        on_unknown: as in ``recommend``.
        overwrite: replace a file of that name.

    Returns:
        Number of rows.

    Raises:
        ConfigError: for a file of another kind, or one that exists.
        DataError: for an unknown user with ``on_unknown="error"``, or a list length below 1.
    """
    file = Path(file)
    if file.suffix.lower() not in WRITERS:
        raise ConfigError("lists are written as parquet, csv or jsonl", file=file, hint="--out lists.parquet")
    if file.is_dir():
        raise ConfigError("a folder is there", file=file, hint="name another file")
    if file.exists() and not overwrite:
        raise ConfigError("already exists", file=file, hint="name another file, or --overwrite (overwrite=True)")
    wanted = deployment.users.ids.to_list() if users is None else list(users)
    if on_unknown == "error":
        deployment.users.rows(wanted)
    # one dtype of users in all blocks
    as_text = on_unknown == "fallback" and deployment.users.ids.dtype != pl.String
    rows = 0
    with (
        atomic_path(file) as aside,
        WRITERS[file.suffix.lower()](aside) as write,
        progress("recommend", len(wanted)) as advance,
    ):
        for start in range(0, max(len(wanted), 1), BLOCK):
            block = wanted[start : start + BLOCK]
            lists = with_titles(model.recommend(block, k, on_unknown=on_unknown), deployment.items)
            lists = lists.with_columns(pl.col("user").cast(pl.String)) if as_text else lists
            write(lists)
            rows += len(lists)
            advance(len(block))
    return rows


@contextmanager
def _parquet(file: Path) -> Iterator[Write]:
    from pyarrow.parquet import ParquetWriter

    writer: Any = None

    def write(lists: pl.DataFrame) -> None:
        nonlocal writer
        table = lists.to_arrow()
        writer = writer or ParquetWriter(file, table.schema)
        writer.write_table(table.cast(writer.schema))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def _csv(file: Path) -> Iterator[Write]:
    with open(file, "w", encoding="utf-8", newline="") as handle:

        def write(lists: pl.DataFrame) -> None:
            handle.write(lists.write_csv(include_header=handle.tell() == 0))

        yield write


@contextmanager
def _jsonl(file: Path) -> Iterator[Write]:
    with open(file, "w", encoding="utf-8") as handle:
        yield lambda lists: _write_lines(handle, lists)


def _write_lines(handle: TextIO, lists: pl.DataFrame) -> None:
    """One line a user: ``{"user": ..., "items": [{"item", "title", "score", "rank"}]}``."""
    for (user,), part in lists.group_by("user", maintain_order=True):
        line = {"user": user, "items": part.drop("user").to_dicts()}
        handle.write(json.dumps(line, ensure_ascii=False) + "\n")


WRITERS = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}
