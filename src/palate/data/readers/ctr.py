"""Click logs: ``train``, ``valid`` and ``test`` tables of shown items with a label, one row an impression."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.errors import DataError
from palate.data.absent import ABSENT
from palate.data.columns import errors_from, guess_interactions
from palate.data.dataset import Dataset
from palate.data.frames import to_source
from palate.data.interactions import CONTEXT
from palate.data.load import readers
from palate.data.readers.movies import MoviesLayout, movie_items
from palate.data.readers.shared.files import copy_media
from palate.data.readers.shared.tables import external_log
from palate.data.readers.shared.vectors import given_features, write_features
from palate.data.source_table import SourceTable, stack, typed_table
from palate.data.table_format import TableFormat
from palate.data.tables import find_table, read_source, read_table, tables_named, write_table

PARTS = ("train", "valid", "test")
HISTORY = "history"
_MOVIES = MoviesLayout()


class CtrLayout:
    """Three tables are a given split; their other columns are context.

    Items and users are described by ``items.*`` and ``users.*`` in the same folder, or, beside a folder of movies, by
    its ``movies.jsonl``. A column ``history`` is left out: what a user liked before is in the log itself.
    """

    cites = "docs/data.md: train.*, valid.* and test.* with user, item, label and time; items.*, users.*"

    def recognise(self, path: Path) -> float:
        """High if the three tables are there and the first has a label."""
        if not path.is_dir() or not all(len(tables_named(path, part)) == 1 for part in PARTS):
            return 0.0
        files = _logs(path)
        try:
            roles = guess_interactions(_head(files["train"]), None)[0]
        except DataError:
            return 0.0
        return 0.85 if "label" in roles else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read the tables; rows with a label of at least 1 are positive by default.

        Raises:
            DataError: naming the file: a table is missing or cannot be read, or the tables have different columns.
        """
        files = _logs(path)
        for part in PARTS:
            if part not in files:
                raise DataError(f"no table {part}.*", file=path, hint="add train, valid and test tables")
        words = ABSENT if options.get("absent") is None else options["absent"]
        source = _log(files, words)
        log = source.frame
        roles: dict[str, Any] = {**(options.get("roles") or {}), "part": "part"}
        with errors_from(str(files["train"])):
            columns_of = guess_interactions(log, roles)[0]
        if "context" not in roles:
            rest = [c for c in log.columns if c not in columns_of.values() and c != HISTORY]
            roles |= {"context": rest} if rest else {}
        items, columns, root, item_file = _items(path, source, columns_of["item"])
        users = find_table(path, "users")
        user_file = users or files["train"]
        return Dataset.from_frames(
            items,
            source,
            None if users is None else read_source(users),
            columns=options.get("columns") or columns,
            roles=roles,
            positive=options.get("positive") or {"label": ">=1"},
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "given",
            features=given_features(path, len(items.frame)),
            root=root,
            name=path.resolve().name,
            layout="ctr",
            files={"interactions": files["train"], "items": item_file, "users": user_file},
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write three tables, and those of items and users.

        Raises:
            DataError: if the data has no labels or no given parts.
        """
        table = external_log(data)
        for role in ("label", "part"):
            if role not in table.columns:
                raise DataError("this layout needs the column", column=role, hint="use layout folder")
        table = table.rename({CONTEXT + name: name for name in data.interactions.context}).drop("row", strict=False)
        for code, part in enumerate(PARTS):
            write_table(table.filter(pl.col("part") == code).drop("part"), folder / f"{part}.parquet")
        for catalog, name in ((data.items, "items"), (data.users, "users")):
            frame = catalog.frame.drop(c for c in catalog.frame.columns if catalog.frame[c].equals(catalog.ids.ids))
            write_table(frame.select(catalog.ids.ids.alias(name[:-1]), pl.all()), folder / f"{name}.parquet")
        write_features(dict(data.items.given), folder)
        copy_media(data, folder)


def _logs(path: Path) -> dict[str, Path]:
    if not path.is_dir():
        return {}
    return {part: file for part in PARTS if (file := find_table(path, part)) is not None}


def _head(file: Path) -> pl.DataFrame:
    if file.suffix == ".parquet":
        try:
            return pl.DataFrame(schema=pl.read_parquet_schema(file))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"cannot be read ({error})", file=file) from error
    return read_table(file)


def _log(files: Mapping[str, Path], words: Collection[str]) -> SourceTable:
    tables: list[SourceTable] = []
    for part in PARTS:
        table = read_source(files[part], TableFormat(absent=tuple(words)))
        alike = not tables or table.frame.columns == tables[0].frame.columns
        if tables and not table.from_text and not tables[0].from_text:
            alike = table.frame.schema == tables[0].frame.schema
        if not alike:
            raise DataError("columns or types differ from those of the train table", file=files[part])
        tables.append(table)
    codes = np.repeat(np.arange(len(PARTS)), [len(table.frame) for table in tables])
    return stack(tables, words).with_columns(pl.Series("part", codes))


def _items(path: Path, log: SourceTable, item: str) -> tuple[SourceTable, dict[str, str] | None, Path, Path]:
    """The items' table, kinds of its columns (None: guess), the folder of its media, its file."""
    file = find_table(path, "items")
    if file is not None:
        return read_source(file), None, path, file
    parent = path.resolve().parent
    if _MOVIES.recognise(parent) > 0:
        items, kinds = movie_items(parent)
        return to_source(items), kinds, parent, parent / "movies.jsonl"
    found = pl.DataFrame(log.spelled(item).drop_nulls().unique(maintain_order=True))
    return replace(typed_table(found, ()), from_text=log.from_text), {item: "id"}, path, path


readers.register("ctr")(CtrLayout())
