"""PixelRec: interactions ``item_id,user_id,timestamp``, item information with title, tag and description, covers."""

from __future__ import annotations

from collections.abc import Mapping
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
from palate.data.readers.shared.text import plain_text
from palate.data.tables import read_source

LOG = {"item_id", "user_id", "timestamp"}
TEXT = ("title", "tag", "description")


class PixelRecLayout:
    """Items are those the chosen log uses; view, comment and like counts are carried, never encoded."""

    cites = "github.com/westlake-repl/PixelRec dataset/readme.md: item_id, user_id, timestamp; item_id, view_number ... title, tag, description; cover/<item_id>.jpg"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if both headers are found in the folder or one below."""
        return 0.93 if _logs(path) and _info(path) is not None else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read one log; a folder of several (Pixel200K, Pixel1M ...) needs ``name=``.

        Raises:
            DataError: naming the file and row; if there is no item information, or several logs and no ``name``.
        """
        file = choose_file(_logs(path), options.get("name"), path, "interaction files", ".csv")
        info = _info(path)
        if info is None:
            raise DataError("no item information", file=path, hint="a csv with item_id, title, tag, description")
        tables, _ = unify_ids(
            {"interactions": read_source(file), "items": read_source(info)},
            {
                "item": [("items", "item_id"), ("interactions", "item_id")],
                "user": [("interactions", "user_id")],
            },
            parse_id_types(options.get("ids")),
            {"interactions": str(file), "items": str(info)},
        )
        log, items = tables["interactions"], tables["items"].frame
        root = path if path.is_dir() else path.parent
        used = log.frame.select(pl.col("item_id").drop_nulls().unique(maintain_order=True))
        rest = len(items)
        items = items.join(used, on="item_id", how="semi", maintain_order="left")
        rest -= len(items)
        items = pl.concat([items, used.join(items, on="item_id", how="anti")], how="diagonal")
        present = [column for column in TEXT if column in items.columns]
        items = items.with_columns(
            pl.Series(c, [plain_text(v) for v in items[c].to_list()], dtype=pl.String) for c in present
        )
        kinds = {"item_id": "id"} | {c: "attributes" if c == "tag" else "text" for c in present}
        covers = media_by_id(root, items["item_id"], ["cover*", "images"], MEDIA_ENDINGS["image"])
        if covers.null_count() < len(covers):
            items, kinds["cover"] = items.with_columns(covers.alias("cover")), "image"
        return Dataset.from_frames(
            items,
            log,
            columns=kinds,
            roles={"user": "user_id", "item": "item_id", "time": "timestamp"},
            positive=options.get("positive"),
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "leave_one_out",
            root=root,
            name=file.stem,
            layout="pixelrec",
            files={"interactions": file, "items": info},
            notes=[f"items: {rest:,} that the interactions do not name are left out"] if rest else (),
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write a log, the item information and the covers.

        Raises:
            DataError: if the data has no times.
        """
        table = external_log(data)
        if "time" not in table.columns:
            raise DataError("this layout needs a time", column="time", hint="use layout folder")
        log = table.select(pl.col("item").alias("item_id"), pl.col("user").alias("user_id"), timestamp="time")
        log.write_csv(folder / f"{data.name}.csv")
        frame = data.items.frame.drop("cover", strict=False).with_columns(item_id=data.items.ids.ids)
        missing = [pl.lit(None, pl.String).alias(c) for c in TEXT if c not in frame.columns]
        frame.with_columns(missing).write_csv(folder / "item_info.csv")
        copy_media(data, folder)


def _header(file: Path) -> set[str]:
    return {name.strip().strip('"') for name in first_line(file).split(",")}


def _logs(path: Path) -> list[Path]:
    return [file for file in files_in(path, "*.csv") if _header(file) == LOG]


def _info(path: Path) -> Path | None:
    folder = path if path.is_dir() else path.parent
    return next(
        (f for f in files_in(folder, "*.csv") if {"item_id", "title", "tag", "description"} <= _header(f)), None
    )


readers.register("pixelrec")(PixelRecLayout())
