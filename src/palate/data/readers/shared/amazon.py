"""Common parts of the two Amazon review releases: finding reviews and metadata, building the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.data.media_values import MEDIA_ENDINGS
from palate.data.readers.shared.files import choose_file, files_in, first_line, media_by_id
from palate.data.readers.shared.jsonl import Column, keys_of, read_columns
from palate.data.relations import Edges, Relations

KINDS = {
    "title": "text",
    "description": "text",
    "features": "text",
    "brand": "attributes",
    "categories": "attributes",
    "price": "attributes",
}


def find(path: Path, keys: set[str], without: set[str] = frozenset()) -> list[Path]:  # type: ignore[assignment]
    """JSON-lines files whose first object has some keys and lacks others.

    Args:
        path: a folder or file.
        keys: keys that must be present.
        without: keys that must be absent.
    """
    files = [file for tail in ("json", "jsonl", "json.gz", "jsonl.gz") for file in files_in(path, f"*.{tail}", 0)]
    return [f for f in sorted(files) if keys <= (present := keys_of(first_line(f, 1 << 20))) and not present & without]


def choose_reviews(files: Sequence[Path], name: str | None, folder: Path) -> tuple[Path, str]:
    """The review file of one category, and the category's name.

    Args:
        files: all review files.
        name: the category; needed if there are several.
        folder: where the files are, for error messages.

    Raises:
        DataError: if there is no such category, or several and no name.
    """
    by_name = {category(file): file for file in files}
    stems = [Path(f"{stem}.reviews") for stem in by_name]
    chosen = choose_file(stems, name, folder, "review files", ".reviews").name.removesuffix(".reviews")
    return by_name[chosen], chosen


def category(file: Path) -> str:
    """The category of a file: ``Baby`` of ``reviews_Baby_5.json.gz``, ``Baby_5.json`` and ``meta_Baby.jsonl``.

    Args:
        file: a file of reviews or metadata.
    """
    stem = file.name.removesuffix(".gz").rsplit(".", 1)[0]
    return stem.removeprefix("meta_").removeprefix("reviews_").removesuffix("_5").removesuffix("_reviews")


def build(
    reviews: Path,
    meta: Path | None,
    columns: tuple[Mapping[str, Column], Mapping[str, Column]],
    name: str,
    layout: str,
    options: Mapping[str, Any],
) -> Dataset:
    """Reviews and metadata as a data set; an item without metadata is an item with no content.

    Args:
        reviews: the file of reviews.
        meta: the file of metadata, or None.
        columns: types and functions that read the log's columns, and the items' (``id``, those of ``KINDS``,
            ``related_*``).
        name: of the data set.
        layout: of the files.
        options: as for :func:`palate.data.load.load`.

    Raises:
        DataError: naming the file and line.
    """
    log = read_columns(reviews, columns[0])
    items = pl.DataFrame(schema={"id": pl.String}) if meta is None else read_columns(meta, columns[1])
    repeats = int((~items["id"].is_first_distinct()).sum()) if len(items) else 0
    items = items.filter(pl.col("id").is_first_distinct() & pl.col("id").is_not_null())
    used = log.select(id=pl.col("item").drop_nulls().unique(maintain_order=True))
    unused = len(items.join(used, on="id", how="anti"))
    described = items.join(used, on="id", how="semi", maintain_order="left")
    items = pl.concat([described, used.join(items, on="id", how="anti")], how="diagonal")
    links = [column for column in items.columns if column.startswith("related_")]
    relations = Relations({column[8:]: edges for column in links if len(edges := _links(items, column))})
    kinds = {"id": "id"} | {column: kind for column, kind in KINDS.items() if column in items.columns}
    covers = media_by_id(reviews.parent, items["id"], ["images", "covers"], MEDIA_ENDINGS["image"])
    if covers.null_count() < len(covers):
        items, kinds["picture"] = items.with_columns(covers.alias("picture")), "image"
    data = Dataset.from_frames(
        items,
        log,
        columns=kinds,
        roles={"user": "user", "item": "item", "rating": "rating", "time": "time"},
        positive=options.get("positive"),
        ids=options.get("ids"),
        absent=options.get("absent"),
        split=options.get("split") or "leave_one_out",
        relations=relations,
        root=reviews.parent,
        name=name,
        layout=layout,
        files={"interactions": reviews} | ({} if meta is None else {"items": meta}),
    )
    said = [f"{repeats} repeated metadata rows left out; the first of an id counts"] if repeats else []
    if unused:
        said.append(f"{unused:,} items without a review left out")
    return replace(data, notes=(*data.notes, *said))


def choose_metadata(files: Sequence[Path], name: str, folder: Path) -> Path | None:
    """The metadata of one category, or the only metadata file; None if there is none.

    Args:
        files: all metadata files.
        name: the category.
        folder: where the files are, for error messages.

    Raises:
        DataError: if two files are of this category.
    """
    matching = [file for file in files if category(file) == name]
    if len(matching) > 1:
        raise DataError("two metadata files of one category", file=folder, key=name)
    return matching[0] if matching else (files[0] if len(files) == 1 else None)


def _links(items: pl.DataFrame, column: str) -> Edges:
    long = items.select(row=pl.int_range(pl.len()), other=pl.col(column)).explode("other").drop_nulls()
    target = IdMap(items["id"]).rows(long["other"], "mark")
    keep = target >= 0
    source = long["row"].to_numpy()[keep].astype(np.int64)
    return Edges(source, target[keep], np.ones(len(source), np.float32))
