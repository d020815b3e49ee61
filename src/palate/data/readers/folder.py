"""The plain folder: items and interactions as CSV, Parquet or JSONL, media beside them, an optional palate.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import COLUMN_KINDS
from palate.data.columns import TIME_FORMAT, errors_from
from palate.data.dataset import Dataset
from palate.data.folder_guess import folder_columns, guess_tables
from palate.data.id_spelling import IdColumn, parse_id_types
from palate.data.interactions import CONTEXT, ROLES, PositiveRule
from palate.data.item_columns import FORMS
from palate.data.load import readers
from palate.data.readers.shared.files import copy_media
from palate.data.readers.shared.settings import SETTINGS, read_settings
from palate.data.readers.shared.sources import has_table, read_tables, unread_files
from palate.data.readers.shared.tables import (
    external_log,
    query_table,
    read_relations,
    relation_columns,
    relation_table,
    search_table,
)
from palate.data.readers.shared.vectors import given_features, write_features
from palate.data.table_format import FORMAT_KEYS
from palate.data.tables import tables_named, write_table

_FILE_KEYS = ("file", *FORMAT_KEYS)


class PlainFolder:
    """Palate's own layout; docs/data.md describes ``palate.yaml``."""

    cites = "docs/data.md: items.*, interactions.*, users.*, relations.*, searches.*, queries.*, palate.yaml"

    def recognise(self, path: Path) -> float:
        """Certain with palate.yaml, nearly so with items.* and interactions.*, whatever else lies beside them."""
        if not path.is_dir():
            return 0.0
        if (path / SETTINGS).is_file():
            return 1.0
        if tables_named(path, "items") and tables_named(path, "interactions"):
            return 0.97
        return 0.2 if guess_tables(folder_columns(path)) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read the folder; ``options`` take precedence over palate.yaml, and that over guesses.

        Raises:
            DataError: naming the file, and the row, column or key that is wrong.
        """
        settings = read_settings(path / SETTINGS)
        settings, guessed = _with_guessed_files(path, settings)
        found = read_tables(path, settings, options.get("absent"))
        tables, files = found.tables, found.files
        columns = options.get("columns") or _columns(settings.get("items") or {}, path)
        roles = options.get("roles") or _roles(settings.get("interactions") or {}, path)
        ends = _relation_section(settings)
        with errors_from(str(path / SETTINGS)):
            parse_id_types(wish := options.get("ids") or settings.get("ids"))
        relation_ids = []
        if "relations" in tables:
            ends = relation_columns(tables["relations"].frame.columns, ends)
        if "relations" in tables and ends["source"] in tables["relations"].frame.columns:
            column = ends["source"]
            relation_ids = [IdColumn(tables["relations"].spelled(column), "relations", str(files["relations"]), False)]
        data = Dataset.from_frames(
            tables["items"],
            tables["interactions"],
            tables.get("users"),
            columns=columns,
            roles=roles,
            positive=_positive(options, settings, path),
            split=options.get("split") or _split(settings.get("split")),
            features=given_features(path, len(tables["items"].frame)),
            root=path,
            name=str(settings.get("name", path.resolve().name)),
            layout="folder",
            files=files if settings.get("positive") is None else {**files, "positive": path / SETTINGS},
            searches=tables.get("searches"),
            queries=tables.get("queries"),
            ids=wish,
            absent=options.get("absent") or settings.get("absent"),
            relation_ids=relation_ids,
            notes=(*guessed, *found.notes),
        )
        data = data.with_issues(unread_files(path, found.paths))
        if "relations" not in tables:
            return data
        file = str(files["relations"])
        relations, issues = read_relations(tables["relations"], ends, data.items.ids, file)
        return data.with_issues((*tables["relations"].issues, *issues), relations=relations)

    def write(self, data: Dataset, folder: Path) -> None:
        """Write Parquet tables, a palate.yaml that names every column, media and ready vectors."""
        frame = data.items.frame
        id_column = next((c for c in frame.columns if frame[c].equals(data.items.ids.ids)), None)
        if id_column is None:
            id_column = "id" if "id" not in frame.columns else "item_id"
            frame = frame.select(data.items.ids.ids.alias(id_column), pl.all())
        write_table(frame, folder / "items.parquet")
        log = external_log(data)
        write_table(log, folder / "interactions.parquet")
        if len(data.users.frame.columns) > 1 or data.users.ids.ids.to_list() != _order(log["user"]):
            users = data.users.frame.drop(c for c in data.users.frame.columns if c == "user")
            same = [c for c in users.columns if users[c].equals(data.users.ids.ids)]
            write_table(users.drop(same).select(data.users.ids.ids.alias("user"), pl.all()), folder / "users.parquet")
        columns: dict[str, Any] = {"id": id_column}
        for kind in COLUMN_KINDS:
            if of_kind := data.items.columns(kind):
                columns[kind] = of_kind
        rest = [c for c in frame.columns if c not in data.items.kinds and c != id_column]
        settings: dict[str, Any] = {"name": data.name, "items": columns | ({"ignore": rest} if rest else {})}
        settings["interactions"] = {role: role for role in log.columns if not role.startswith(CONTEXT)}
        if data.interactions.context:
            settings["interactions"]["context"] = [CONTEXT + column for column in data.interactions.context]
        settings["positive"] = data.positive.model_dump(exclude_none=True, mode="json")
        settings["split"] = {key: value for key, value in data.spec.model_dump().items()}
        (folder / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
        write_features(dict(data.items.given), folder)
        if data.relations.edges:
            write_table(relation_table(data), folder / "relations.parquet")
        if data.searches is not None:
            write_table(search_table(data, data.searches), folder / "searches.parquet")
            write_table(query_table(data.searches), folder / "queries.parquet")
        copy_media(data, folder)


def _with_guessed_files(path: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings with the files of items, interactions and users where only their columns tell them."""
    if has_table(path, settings, "items") and has_table(path, settings, "interactions"):
        return settings, ()
    found = guess_tables(folder_columns(path))
    missing = {
        name: [file.name for file in files] for name, files in found.items() if not has_table(path, settings, name)
    }
    filled = {name: {**(settings.get(name) or {}), "file": files} for name, files in missing.items()}
    return settings | filled, tuple(
        f"{name}: table is {', '.join(map(repr, files))}" for name, files in missing.items()
    )


def _positive(options: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> Any:
    """The rule for positives as given, its keys roles or columns of the log; None for the default."""
    if options.get("positive") is not None:
        return options["positive"]
    section = settings.get("positive")
    if section is not None and not set(section) - set(PositiveRule.model_fields):
        with errors_from(str(path / SETTINGS)):
            return PositiveRule.parse(section)
    return section


def _order(users: pl.Series) -> list[Any]:
    return users.unique(maintain_order=True).to_list()


def _roles(section: Mapping[str, Any], path: Path) -> dict[str, str | list[str] | None]:
    for key in section:
        if key not in (*ROLES, *_FILE_KEYS, TIME_FORMAT):
            known = did_you_mean(str(key), (*ROLES, *_FILE_KEYS, TIME_FORMAT))
            raise DataError("unknown key under interactions", file=path / SETTINGS, key=key, hint=known)
    return {
        role: [str(column) for column in named] if isinstance(named, list) else None if named is None else str(named)
        for role, named in section.items()
        if role not in _FILE_KEYS
    }


def _columns(section: Mapping[str, Any], path: Path) -> dict[str, str | None]:
    columns: dict[str, str | None] = {}
    for key, value in section.items():
        if key in _FILE_KEYS:
            continue
        if key not in (*COLUMN_KINDS, *FORMS, "id", "ignore"):
            known = did_you_mean(str(key), (*COLUMN_KINDS, *FORMS, "id", "ignore"))
            raise DataError("unknown key under items", file=path / SETTINGS, key=key, hint=known)
        if value is None:
            columns[key] = None
            continue
        for column in value if isinstance(value, list) else [value]:
            columns[str(column)] = key
    return columns


def _split(section: Any) -> str | None:
    if section is None or isinstance(section, str):
        return section
    tail = ",".join(f"{key}={value}" for key, value in section.items() if key != "kind")
    return f"{section.get('kind', 'random')}:{tail}"


def _relation_section(settings: Mapping[str, Any]) -> dict[str, str]:
    section = settings.get("relations") or {}
    return {role: str(section[role]) for role in ("source", "relation", "target", "weight") if role in section}


readers.register("folder")(PlainFolder())
