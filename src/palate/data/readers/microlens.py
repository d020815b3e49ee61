"""MicroLens: ``*_pairs.csv`` (or ``.tsv``), ``*titles.csv``, ``*_likes_and_views.txt``, media folders by item id."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.id_columns import unify_ids
from palate.data.id_spelling import parse_id_types
from palate.data.load import readers
from palate.data.media_values import MEDIA_ENDINGS
from palate.data.readers.shared.files import choose_file, copy_media, files_in, first_line, media_by_id
from palate.data.readers.shared.tables import external_log
from palate.data.source_table import SourceTable, typed_table
from palate.data.table_format import TableFormat
from palate.data.tables import read_source

FOLDERS = {"cover": ("*covers*", "image"), "sound": ("*audio*", "audio"), "video": ("*video*", "video")}


class MicroLensLayout:
    """Likes and views are totals over all time, the test part included: carried, never encoded."""

    cites = (
        "recsys.westlake.edu.cn/MicroLens-50k-Dataset (github.com/westlake-repl/MicroLens): user,item,timestamp [ms]"
    )

    def recognise(self, path: Path) -> float:
        """High for a pairs file with its header, or the tab separated form beside titles."""
        files = _pairs(path)
        if not files:
            return 0.0
        return 0.95 if any(f.suffix == ".csv" or _titles(f) is not None for f in files) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read one name: every pair is positive, and the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and row; if there are several names and no ``name``.
        """
        files = _pairs(path)
        by_stem = {_stem(file): file for file in reversed(files)}
        stem = choose_file(
            [Path(f"{s}.pairs") for s in by_stem], options.get("name"), path, "pairs files", ".pairs"
        ).stem
        file = by_stem[stem]
        tables = {"interactions": _csv_pairs(file) if file.suffix == ".csv" else _tsv_pairs(file), **_items(file)}
        tables, _ = unify_ids(
            tables,
            {"item": [(name, "item") for name in tables], "user": [("interactions", "user")]},
            parse_id_types(options.get("ids")),
            dict.fromkeys(tables, str(file)) | {"titles": str(_titles(file) or file)},
        )
        log, items = tables["interactions"], _joined_items(tables)
        unknown = log.frame.select(pl.col("item").drop_nulls().unique(maintain_order=True)).join(
            items, on="item", how="anti"
        )
        items = pl.concat([items, unknown], how="diagonal")
        kinds = {"item": "id", "title": "text"}
        for column, (pattern, kind) in FOLDERS.items():
            paths = media_by_id(file.parent, items["item"], [pattern], MEDIA_ENDINGS[kind])
            if paths.null_count() < len(paths):
                items, kinds[column] = items.with_columns(paths.alias(column)), kind
        return Dataset.from_frames(
            items,
            log,
            columns=kinds,
            roles={role: role for role in log.frame.columns},
            positive=options.get("positive"),
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "leave_one_out",
            root=file.parent,
            name=stem,
            layout="microlens",
            files={"interactions": file, "items": _titles(file) or file},
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write pairs as csv with times in milliseconds.

        Raises:
            DataError: if the data has no times.
        """
        table = external_log(data)
        if "time" not in table.columns:
            raise DataError("this layout needs a time", column="time", hint="use layout folder")
        pairs = table.select("user", "item", timestamp=pl.col("time") * 1000)
        pairs.write_csv(folder / f"{data.name}_pairs.csv")
        frame = data.items.frame.with_columns(item=data.items.ids.ids)
        titles = frame.filter(pl.col("title").is_not_null()) if "title" in frame.columns else frame.head(0)
        titles.select("item", *(["title"] if "title" in frame.columns else [])).write_csv(
            folder / f"{data.name}_titles.csv", quote_style="non_numeric"
        )
        if {"likes", "views"} <= set(frame.columns):
            stats = frame.filter(pl.col("likes").is_not_null()).select("item", "likes", "views")
            stats.write_csv(folder / f"{data.name}_likes_and_views.txt", separator="\t", include_header=False)
        copy_media(data, folder)


def _stem(file: Path) -> str:
    return file.stem.removesuffix("_pairs")


def _pairs(path: Path) -> list[Path]:
    files = files_in(path, "*_pairs.csv", 0) + files_in(path, "*_pairs.tsv", 0)
    return [f for f in files if (f.suffix == ".tsv" or first_line(f).replace('"', "") == "user,item,timestamp")]


def _titles(file: Path) -> Path | None:
    files = [f for tail in ("*titles.csv", "*title_en.csv", "*title*.csv") for f in sorted(file.parent.glob(tail))]
    own = [f for f in files if f.name.startswith(_stem(file))]
    return next(iter(own or files), None)


def _csv_pairs(file: Path) -> SourceTable:
    return read_source(file).rename({"timestamp": "time"})


def _tsv_pairs(file: Path) -> SourceTable:
    """``user<tab>item item ...`` in time order, no header."""
    frame = pl.DataFrame({"line": file.read_text(encoding="utf-8", errors="replace").splitlines()})
    frame = frame.with_row_index("row", 1).filter(pl.col("line").str.strip_chars() != "")
    split = frame.select(
        pl.col("row").cast(pl.Int64),
        user=pl.col("line").str.split("\t").list.get(0).str.strip_chars(),
        item=pl.col("line").str.split("\t").list.get(1, null_on_oob=True).str.strip_chars().str.split(" "),
    )
    long = split.with_columns(time=pl.int_ranges(0, pl.col("item").list.len().cast(pl.Int64))).explode("item", "time")
    empty = (pl.col("user").fill_null("") == "") | (pl.col("item").fill_null("") == "")
    bad = long.filter(empty)
    if len(bad):
        raise DataError("not a user and a list of items", file=file, row=int(bad["row"][0]), hint="user<tab>item item")
    return replace(typed_table(long), from_text=True)


def _items(file: Path) -> dict[str, SourceTable]:
    """Titles, and likes and views, where there are any."""
    titles, out = _titles(file), {}
    if titles is not None and first_line(titles).replace('"', "").lower().startswith("item"):
        found = read_source(titles)
        out["titles"] = found.rename({found.frame.columns[0]: "item"})
    elif titles is not None:
        out["titles"] = _headless(titles, ",", ("item", "title"))
    stats = file.with_name(f"{_stem(file)}_likes_and_views.txt")
    if stats.is_file() and os.path.getsize(stats):
        out["likes"] = _headless(stats, "\t", ("item", "likes", "views"))
    return out


def _joined_items(tables: Mapping[str, SourceTable]) -> pl.DataFrame:
    if "titles" not in tables:
        dtype = tables["interactions"].frame.schema["item"]
        frame = pl.DataFrame(schema={"item": dtype, "title": pl.String})
    else:
        found = tables["titles"]
        frame = found.frame.with_columns(found.spelled("title")) if "title" in found.frame.columns else found.frame
    if "title" in frame.columns:
        frame = frame.with_columns(pl.col("title").cast(pl.String).str.strip_chars())
    if "likes" not in tables:
        return frame
    return frame.join(tables["likes"].frame, on="item", how="left", maintain_order="left")


def _headless(file: Path, separator: str, names: tuple[str, ...]) -> SourceTable:
    try:
        return read_source(file, TableFormat(separator=separator, header=False, names=names))
    except DataError as error:
        raise DataError(f"expected {', '.join(names)} ({error.message})", file=file, row=error.row) from error


readers.register("microlens")(MicroLensLayout())
