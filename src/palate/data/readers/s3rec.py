"""S3-Rec sequences: ``Name.txt`` (``user item item ...`` in time order) and ``Name_item2attributes.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import choose_file, first_line
from palate.data.readers.shared.jsonl import read_lists
from palate.data.readers.shared.tables import external_log
from palate.data.relations import Edges, Relations

ATTRIBUTES = "_item2attributes.json"


class S3RecLayout:
    """Items are those that occur; the position in the line is the time; evaluation leaves the last one out.

    ``Name.index.json`` (codes by item id - 1) is kept as the column ``semantic_id``, not encoded.
    """

    cites = "github.com/RUCAIBox/CIKM2020-S3Rec data/: Beauty.txt, Beauty_item2attributes.json"

    def recognise(self, path: Path) -> float:
        """High for sequences of integers beside an attribute file, 0.5 for such a file alone."""
        files = _sequences(path)
        if not files or not all(_is_sequence(first_line(file)) for file in files):
            return 0.0
        return 0.95 if path.is_dir() or _beside(path, ATTRIBUTES).is_file() else 0.5

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read one name; a folder of several needs ``name=``.

        Raises:
            DataError: naming the file and line; if there are several names and no ``name``.
        """
        file = choose_file(_sequences(path), options.get("name"), path, "sequence files", ".txt")
        log = _log(file)
        used = log["item"].unique()
        attributes = read_lists(_beside(file, ATTRIBUTES), "attribute ids", int)
        ids = pl.concat([used, pl.Series("item", list(attributes), dtype=pl.Int64)]).unique().sort().alias("id")
        frame = pl.DataFrame({"id": ids}).with_columns(
            pl.Series("attributes", [attributes.get(item) for item in ids.to_list()], dtype=pl.List(pl.Int64))
        )
        codes = read_lists(_beside(file, ".index.json"), "codes", str)
        if codes:
            values = [codes.get(item - 1) for item in ids.to_list()]
            frame = frame.with_columns(pl.Series("semantic_id", values, dtype=pl.List(pl.String)))
        return Dataset.from_frames(
            frame,
            log,
            columns={"id": "id", "attributes": "attributes"},
            roles={"user": "user", "item": "item", "time": "time", "row": "row"},
            positive=options.get("positive"),
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "leave_one_out",
            relations=_relations(frame["attributes"]),
            name=file.stem,
            layout="s3rec",
            files={"interactions": file, "items": _beside(file, ATTRIBUTES)},
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write sequences and attributes.

        Raises:
            DataError: if ids are text.
        """
        for catalog in (data.users, data.items):
            if catalog.ids.ids.dtype != pl.Int64:
                raise DataError("this layout needs integer ids", key=catalog.ids.entity, hint="use layout folder")
        table = external_log(data)
        if "time" in table.columns:
            table = table.sort("time", maintain_order=True)
        order = pl.DataFrame({"user": data.users.ids.ids})
        grouped = order.join(table.group_by("user").agg("item"), on="user", how="left", maintain_order="left")
        lines = [" ".join(map(str, [user, *(items or [])])) for user, items in grouped.rows()]
        (folder / f"{data.name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        frame, ids = data.items.frame, data.items.ids.ids.to_list()
        lists = frame["attributes"].to_list() if "attributes" in frame.columns else [None] * len(ids)
        known = {str(item): values for item, values in zip(ids, lists) if values is not None}
        (folder / f"{data.name}{ATTRIBUTES}").write_text(json.dumps(known), encoding="utf-8")
        if "semantic_id" in frame.columns:
            codes = {str(i - 1): c for i, c in zip(ids, frame["semantic_id"].to_list()) if c is not None}
            (folder / f"{data.name}.index.json").write_text(json.dumps(codes), encoding="utf-8")


def _sequences(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".txt" else []
    return [file for file in sorted(path.glob("*.txt")) if _beside(file, ATTRIBUTES).is_file()]


def _beside(file: Path, tail: str) -> Path:
    return file.with_name(file.stem + tail)


def _is_sequence(line: str) -> bool:
    parts = line.split()
    return len(parts) >= 2 and all(part.isdigit() for part in parts)


def _log(file: Path) -> pl.DataFrame:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason})", file=file) from error
    frame = pl.DataFrame({"line": lines}, schema={"line": pl.String}).with_row_index("row", 1)
    frame = frame.with_columns(pl.col("line").str.strip_chars().str.split(" ")).filter(pl.col("line").list.len() > 1)
    element = pl.element().cast(pl.Int64, strict=False)
    exact = pl.when(element.cast(pl.String) == pl.element()).then(element)
    numbers = frame.with_columns(ids=pl.col("line").list.eval(exact))
    bad = numbers.filter(pl.col("ids").list.eval(pl.element().is_null()).list.any())
    if len(bad):
        raise DataError("not a line of whole numbers", file=file, row=int(bad["row"][0]), hint="write: user item item")
    repeated = numbers.filter(~pl.col("ids").list.first().is_first_distinct())
    if len(repeated):
        raise DataError("a second line of one user", file=file, row=int(repeated["row"][0]))
    long = numbers.select(
        "row",
        user=pl.col("ids").list.first(),
        item=pl.col("ids").list.slice(1),
        time=pl.int_ranges(0, pl.col("ids").list.len() - 1),
    ).explode("item", "time")
    if not len(long):
        raise DataError("no sequences", file=file)
    return long


def _relations(attributes: pl.Series) -> Relations:
    lists = attributes.to_list()
    source = np.repeat(np.arange(len(lists)), [len(values or ()) for values in lists])
    flat = np.array([value for values in lists for value in values or ()], np.int64)
    if not len(flat):
        return Relations()
    names, target = np.unique(flat, return_inverse=True)
    weight = np.ones(len(flat), np.float32)
    return Relations({"attribute": Edges(source, target, weight, "attribute", tuple(map(str, names)))})


readers.register("s3rec")(S3RecLayout())
