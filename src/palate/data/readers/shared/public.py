"""Common parts of readers of public data sets: items that only the log has, options, files that are passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.id_columns import unify_ids
from palate.data.id_spelling import parse_id_types
from palate.data.issues import DataIssue
from palate.data.readers.shared.sources import unread_files
from palate.data.readers.shared.tables import external_log
from palate.data.source_table import SourceTable, typed_table


@dataclass(frozen=True)
class PublicTables:
    """Tables of a public data set as they were read.

    Attributes:
        log: one row an event.
        roles: role -> column of the log.
        files: ``interactions``, ``items`` and ``users`` -> the file it was read from.
        items: one row an item; without it the items are those of the log.
        kinds: column of the items -> kind; the first is ``id``.
        users: one row a user.
        also_read: further files that were read.
        notes: what the reader decided.
    """

    log: SourceTable
    roles: Mapping[str, str]
    files: Mapping[str, Path]
    items: SourceTable | None = None
    kinds: Mapping[str, str] | None = None
    users: SourceTable | None = None
    also_read: Sequence[Path] = ()
    notes: Sequence[str] = ()


def build_public(
    tables: PublicTables, root: Path, layout: str, options: Mapping[str, Any], split: str, ids: Any = None
) -> Dataset:
    """A data set of public tables; an item that only the log has is an item without content.

    Args:
        tables: what was read.
        root: the folder.
        layout: name of the layout.
        options: as for :func:`palate.data.load.load`.
        split: the split where the options name none.
        ids: the type of ids where the options name none.

    Raises:
        DataError: naming file and row.
    """
    ids = options.get("ids") or ids
    items, log, issues = _with_items_of_log(tables, ids)
    data = Dataset.from_frames(
        items,
        log,
        tables.users,
        columns=dict(tables.kinds or {tables.roles["item"]: "id"}),
        roles={**tables.roles, **(options.get("roles") or {})},
        positive=options.get("positive"),
        ids=ids,
        absent=options.get("absent"),
        split=options.get("split") or split,
        root=root,
        name=str(options.get("name") or root.resolve().name),
        layout=layout,
        files=dict(tables.files),
        notes=tables.notes,
    )
    read = [*tables.files.values(), *tables.also_read]
    return data.with_issues((*issues, *unread_files(root, read)))


def _with_items_of_log(tables: PublicTables, ids: Any) -> tuple[SourceTable, SourceTable, tuple[DataIssue, ...]]:
    taken = tables.roles["item"]
    if tables.items is None:
        unique = tables.log.spelled(taken).drop_nulls().unique(maintain_order=True)
        unique = unique.cast(pl.String) if tables.log.from_text else unique
        return typed_table(pl.DataFrame({taken: unique}), (), tables.log.from_text), tables.log, ()
    key = next(column for column, kind in (tables.kinds or {}).items() if kind == "id")
    found, _ = unify_ids(
        {"items": tables.items, "interactions": tables.log},
        {"item": [("items", key), ("interactions", taken)]},
        parse_id_types(ids),
        {name: str(file) for name, file in tables.files.items()},
    )
    items, log = found["items"], found["interactions"]
    new = log.frame[taken].drop_nulls().unique(maintain_order=True)
    new = new.filter(~new.is_in(items.frame[key].implode()))
    if not len(new):
        return items, log, ()
    frame = pl.concat([items.frame, pl.DataFrame({key: new})], how="diagonal")
    text = {column: values.extend_constant(None, len(new)) for column, values in items.text.items()}
    message = f"{len(new):,} items of the log have no row in {tables.files['items'].name} and no content"
    issue = DataIssue("item_without_row", "note", message, str(tables.files["items"]), key=str(new[0]), count=len(new))
    return replace(items, frame=frame, text=text), log, (issue,)


def log_with(data: Dataset, *roles: str) -> pl.DataFrame:
    """The log with external ids and the columns of some roles.

    Args:
        data: the data set.
        roles: beside ``user`` and ``item``.

    Raises:
        DataError: if the data lack one.
    """
    table = external_log(data)
    for role in roles:
        if role not in table.columns:
            raise DataError("this layout needs the column", column=role, hint="use layout folder")
    return table


def items_with(data: Dataset, key: str, columns: Sequence[str] = ()) -> pl.DataFrame:
    """The items' table with ids under one name and some other columns, which are null where the data lack them.

    Args:
        data: the data set.
        key: name of the column of ids.
        columns: names of the others.
    """
    return _with_ids(data.items, key, columns)


def users_with(data: Dataset, key: str, columns: Sequence[str]) -> pl.DataFrame:
    """The users' table, as :func:`items_with`.

    Args:
        data: the data set.
        key: name of the column of ids.
        columns: names of the others.
    """
    return _with_ids(data.users, key, columns)


def _with_ids(catalog: Catalog, key: str, columns: Sequence[str]) -> pl.DataFrame:
    frame = catalog.frame.with_columns(catalog.ids.ids.alias(key))
    absent = [pl.lit(None, pl.String).alias(column) for column in columns if column not in frame.columns]
    return frame.with_columns(absent).select(key, *(column for column in columns if column != key))
