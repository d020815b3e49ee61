"""Amazon text for language models: ``Name.item.json`` and ``Name.{train,valid,test}.csv`` of targets with histories."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.id_columns import unify_ids
from palate.data.id_spelling import IdType, parse_id_types
from palate.data.load import readers
from palate.data.readers.shared.files import choose_file, files_in, first_line
from palate.data.readers.shared.jsonl import read_lists, read_object
from palate.data.readers.shared.tables import external_log
from palate.data.readers.shared.text import plain_text
from palate.data.tables import read_source

PARTS = ("train", "valid", "test")
HEADER = (
    "user_id",
    "history_item_title",
    "item_title",
    "history_item_id",
    "item_id",
    "history_item_sid",
    "item_sid",
)


class AmazonTextLayout:
    """A row is a target and what came before it; rows of one user are joined into one sequence.

    A target keeps the part of its file; what only occurs in histories is training. Where no train file is given,
    the histories (at most ten items in the published files) are all that is known of training.
    """

    cites = "github.com/AkaliKong/MiniOneRec data/: *.item.json, *.index.json; csv columns " + ", ".join(HEADER)

    def recognise(self, path: Path) -> float:
        """High if a csv with histories lies beside an ``item.json``."""
        return 0.95 if any(_csvs(file) for file in files_in(path, "*.item.json", 0)) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read one name; the default split is the given one.

        Raises:
            DataError: naming the file; if there are several names and no ``name``.
        """
        file = choose_file(files_in(path, "*.item.json", 0), options.get("name"), path, "item tables", ".item.json")
        items = _items(file)
        log = _log(_csvs(file), parse_id_types(options.get("ids")))
        return Dataset.from_frames(
            items,
            log,
            columns={"id": "id", "title": "text", "description": "text", "brand": "attributes"},
            roles={"user": "user", "item": "item", "time": "time", "part": "part"},
            positive=options.get("positive"),
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "given",
            name=file.name.removesuffix(".item.json"),
            layout="amazon_text",
            files={"items": file},
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write every target of valid and test with its full history; users without one go to the train file.

        Raises:
            DataError: if the data has no given parts or no times.
        """
        table = external_log(data)
        if "part" not in table.columns or "time" not in table.columns:
            raise DataError("this layout needs a given part and an order", column="part", hint="use layout folder")
        frame = data.items.frame.with_columns(id=data.items.ids.ids)
        keep = [c for c in ("title", "description", "brand", "categories") if c in frame.columns]
        records = {str(row["id"]): {c: row[c] or "" for c in keep} for row in frame.iter_rows(named=True)}
        (folder / f"{data.name}.item.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
        if "semantic_id" in frame.columns:
            codes = dict(zip(map(str, frame["id"].to_list()), frame["semantic_id"].to_list()))
            known = {item: value for item, value in codes.items() if value is not None}
            (folder / f"{data.name}.index.json").write_text(json.dumps(known), encoding="utf-8")
        titles = dict(zip(frame["id"].to_list(), frame["title"].to_list())) if "title" in keep else {}
        rows: dict[str, list[tuple[Any, ...]]] = {part: [] for part in PARTS}
        grouped = table.sort("time", maintain_order=True).group_by("user", maintain_order=True).agg("item", "part")
        for user, seen, parts in grouped.iter_rows():
            targets = [at for at, part in enumerate(parts) if part > 0] or [len(seen) - 1]
            for at in targets:
                names = [titles.get(item) for item in seen[:at]]
                row = (user, repr(names), titles.get(seen[at]), repr(seen[:at]), seen[at], "[]", "")
                rows[PARTS[parts[at]]].append(row)
        for part, part_rows in rows.items():
            with open(folder / f"{data.name}.{part}.csv", "w", encoding="utf-8", newline="") as handle:
                csv.writer(handle, lineterminator="\n").writerows([HEADER, *part_rows])


def _csvs(file: Path) -> dict[str, Path]:
    stem = file.name.removesuffix(".item.json")
    files = {part: file.with_name(f"{stem}.{part}.csv") for part in PARTS}
    return {p: f for p, f in files.items() if f.is_file() and {"user_id", "item_id"} <= set(first_line(f).split(","))}


def _items(file: Path) -> pl.DataFrame:
    loaded = read_object(file)
    columns: dict[str, list[Any]] = {"id": []}
    columns |= {name: [] for name in ("title", "description", "brand", "categories")}
    for key, fields in loaded.items():
        if not key.isdigit() or str(int(key)) != key or not isinstance(fields, dict):
            raise DataError("expected a whole number and its fields", file=file, key=key)
        columns["id"].append(int(key))
        columns["title"].append(plain_text(fields.get("title")))
        columns["description"].append(plain_text(_literal(fields.get("description"))))
        columns["brand"].append(plain_text(fields.get("brand")))
        columns["categories"].append(plain_text(_literal(fields.get("categories"))))
    frame = pl.DataFrame(columns, schema={c: pl.Int64 if c == "id" else pl.String for c in columns})
    codes = read_lists(file.with_name(file.name.removesuffix(".item.json") + ".index.json"), "codes", str)
    if codes:
        values = [codes.get(item) for item in columns["id"]]
        frame = frame.with_columns(pl.Series("semantic_id", values, dtype=pl.List(pl.String)))
    return frame


def _literal(value: Any) -> Any:
    """Descriptions are lists written as Python literals; anything else stays text."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    return value


def _log(files: Mapping[str, Path], types: Mapping[str, IdType]) -> pl.DataFrame:
    sequences: dict[Any, tuple[list[int], list[int]]] = {}
    sources = {part: read_source(file) for part, file in files.items()}
    for part, file in files.items():
        for column in ("user_id", "history_item_id", "item_id"):
            if column not in sources[part].frame.columns:
                raise DataError("no such column", file=file, column=column)
    names = {part: str(file) for part, file in files.items()}
    tables, _ = unify_ids(sources, {"user": [(part, "user_id") for part in files]}, types, names)
    tables, _ = unify_ids(tables, {"item": [(part, "item_id") for part in files]}, {"item": "integer"}, names)
    for part, file in files.items():
        table = tables[part].frame
        rows = table.select("user_id", "history_item_id", "item_id").iter_rows()
        for number, (user, history, target) in enumerate(rows, 1):
            items, parts = sequences.setdefault(user, ([], []))
            known = _overlap(items, past := _history(history, file, number))
            items += [*past[known:], target]
            parts += [0] * (len(past) - known) + [PARTS.index(part)]
    flat = [
        (u, item, at, p) for u, (items, parts) in sequences.items() for at, (item, p) in enumerate(zip(items, parts))
    ]
    return pl.DataFrame(flat, schema=["user", "item", "time", "part"], orient="row")


def _history(text: Any, file: Path, row: int) -> list[int]:
    try:
        items = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError("not a list of item ids", file=file, row=row, column="history_item_id") from error
    if not isinstance(items, list) or not all(isinstance(item, int) for item in items):
        raise DataError("not a list of item ids", file=file, row=row, column="history_item_id")
    return items


def _overlap(seen: Sequence[int], past: Sequence[int]) -> int:
    """Number of leading entries of ``past`` that are the end of ``seen``."""
    for size in range(min(len(seen), len(past)), 0, -1):
        if list(seen[-size:]) == list(past[:size]):
            return size
    return 0


readers.register("amazon_text")(AmazonTextLayout())
