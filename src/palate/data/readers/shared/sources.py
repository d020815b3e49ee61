"""The tables of a plain folder: their files, the form of each, and several files as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.column_names import find_role
from palate.data.columns import errors_from
from palate.data.id_columns import unify_ids
from palate.data.issues import DataIssue
from palate.data.items_of_log import items_of_log
from palate.data.media import MediaRoot
from palate.data.media_values import MEDIA, known_endings
from palate.data.readers.shared.settings import SETTINGS, TABLES
from palate.data.regular_file import check_regular, odd_kind
from palate.data.source_table import SourceTable, stack
from palate.data.table_format import TableFormat
from palate.data.tables import find_table, read_source, tables_named

_JOINED = ("items", "users", "queries")
_NO_TABLES = (
    *(".npy", ".npz", ".yaml", ".yml", ".md", ".rst", ".pdf", ".py", ".ipynb", ".sh", ".log", ".html", ".safetensors"),
    *(ending for kind in MEDIA for ending in known_endings(kind)),
)


@dataclass(frozen=True)
class FolderTables:
    """The tables of a folder.

    Attributes:
        tables: by name.
        files: name -> the file, or the first of several.
        paths: all files that were read.
        notes: what was done to read them.
    """

    tables: Mapping[str, SourceTable]
    files: Mapping[str, Path]
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def has_table(folder: Path, settings: Mapping[str, Any], name: str) -> bool:
    """Whether a folder has a table.

    Args:
        folder: the folder.
        settings: of palate.yaml.
        name: name of the table.
    """
    return bool((settings.get(name) or {}).get("file")) or bool(tables_named(folder, name))


def read_tables(folder: Path, settings: Mapping[str, Any], absent: Sequence[str] | None = None) -> FolderTables:
    """All tables of a folder.

    Args:
        folder: the folder.
        settings: of palate.yaml.
        absent: words that mean "no value"; those of the settings, or the usual ones, if None.

    Raises:
        DataError: naming the file: there are no items or interactions, or a table cannot be read.
    """
    tables, files, notes, read = dict[str, SourceTable](), dict[str, Path](), list[str](), list[Path]()
    item_paths = list[Path]()
    words = settings.get("absent") if absent is None else absent
    for name in TABLES:
        if name not in ("items", "interactions") and not has_table(folder, settings, name):
            continue
        section = settings.get(name) or {}
        paths = _files(folder, section, name)
        with errors_from(str(folder / SETTINGS)):
            form = TableFormat.parse(section, words)
        sources = [read_source(path, form) for path in paths]
        if name == "interactions" and "items" in tables and paths == item_paths:
            # one table of events is both: the items are those that it names
            tables["items"], said = items_of_log(tables["items"], settings)
            notes.append(said)
        item_paths = paths if name == "items" else item_paths
        if len(sources) == 1:
            tables[name] = sources[0]
        else:
            tables[name], how = _combined(name, sources, paths, section, form)
            notes.append(f"{name}: {', '.join(path.name for path in paths)} {how}")
        files[name] = paths[0]
        read += paths
    return FolderTables(tables, files, tuple(read), tuple(notes))


def unread_files(folder: Path, read: Sequence[Path]) -> tuple[DataIssue, ...]:
    """An issue that names the tables in a folder that were not read; none if there is no such file.

    Args:
        folder: the folder.
        read: files that were read.
    """
    used = {path.name for path in read}
    found = [
        path.name
        for path in sorted(folder.iterdir())
        if path.name not in used
        and not path.name.startswith((".", "_"))
        and not path.name.removesuffix(".gz").lower().endswith(_NO_TABLES)
        and not path.name.lower().startswith(("readme", "license", "licence"))
        and path.is_file()
    ]
    if not found:
        return ()
    listed = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    message = f"files in the folder that are not read: {listed}"
    hint = "name one in palate.yaml (items: {file: ...}) if it belongs to the data"
    return (DataIssue("file_not_read", "note", message, str(folder), count=len(found), hint=hint),)


def _files(folder: Path, section: Mapping[str, Any], name: str) -> list[Path]:
    given = section.get("file")
    paths = [find_table(folder, name)] if not given else []
    for entry in given if isinstance(given, list) else [given] if given else []:
        with errors_from(str(folder / SETTINGS)):
            paths.append(MediaRoot(folder)(str(entry)))
    for path in paths:
        if path is None or (not path.is_file() and odd_kind(path) is None):
            if path is None:
                hint = (
                    f"add {name}.csv, {name}.parquet or {name}.jsonl, or name the file in palate.yaml: "
                    f"{name}: {{file: FILE}}"
                )
                raise DataError(f"no table of {name}", file=folder, hint=hint)
            hint = "check the name; it is relative to the folder"
            raise DataError("no such file", file=folder / SETTINGS, key=f"{name}.file: {path.name}", hint=hint)
        check_regular(path)
    return [path for path in paths if path is not None]


def _combined(
    name: str, sources: Sequence[SourceTable], paths: Sequence[Path], section: Mapping[str, Any], form: TableFormat
) -> tuple[SourceTable, str]:
    """Several files as one table: rows one after the other, or columns side by side where they share a key."""
    columns = [set(source.frame.columns) for source in sources]
    stacked = stack(sources, form.absent)
    if all(one == columns[0] for one in columns) or name not in _JOINED:
        return stacked, "are read one after the other"
    key = _key(name, columns, sources, section, paths)
    keys = {str(path): [(str(path), key)] for path in paths}
    unified, _ = unify_ids(
        {str(path): source for path, source in zip(paths, sources)},
        {name: [place for places in keys.values() for place in places]},
        files={str(path): str(path) for path in paths},
    )
    frames = [
        unified[str(path)].frame.select(key, *(c for c in source.frame.columns if c != key))
        for path, source in zip(paths, sources)
    ]
    seen = frames[0][key]
    if not any(seen.is_in(frame[key].implode()).any() for frame in frames[1:]):
        return stacked, "share no id and are read one after the other"
    for path, frame in zip(paths, frames):
        repeated = (~frame[key].is_first_distinct() & frame[key].is_not_null()).arg_true()
        if len(repeated):
            at = int(repeated[0])
            raise DataError(
                f"{frame[key][at]!r} appears twice", file=path, row=at + 1, column=key, hint="keep one row for each id"
            )
    joined = frames[0]
    for frame in frames[1:]:
        both = [column for column in frame.columns if column in joined.columns and column != key]
        joined = joined.join(frame, on=key, how="full", coalesce=True, maintain_order="left_right", suffix="\0")
        joined = joined.with_columns(pl.coalesce(column, f"{column}\0").alias(column) for column in both)
        joined = joined.drop(f"{column}\0" for column in both)
    text = {} if joined[key].dtype != pl.String else {key: joined[key]}
    return replace(stacked, frame=joined, text=text), f"are joined by {key!r}"


def _key(
    name: str,
    columns: Sequence[set[str]],
    sources: Sequence[SourceTable],
    section: Mapping[str, Any],
    paths: Sequence[Path],
) -> str:
    shared = [column for column in sources[0].frame.columns if all(column in one for one in columns)]
    if section.get("id") in shared:
        return str(section["id"])
    if len(shared) == 1:
        return shared[0]
    named = find_role("item", shared)
    if not named:
        common = ", ".join(shared) or "none"
        hint = f"name the column of ids in palate.yaml: {name}: {{id: COLUMN}}; columns in all files: {common}"
        raise DataError("cannot tell by which column the files are joined", file=paths[0], hint=hint)
    return named[0]
