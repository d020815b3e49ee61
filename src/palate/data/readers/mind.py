"""MIND: ``behaviors.tsv`` (impressions with clicks, histories) and ``news.tsv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.tab_lines import lines_of
from palate.data.readers.shared.tables import external_log

NEWS = ("id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
BEHAVIOURS = ("impression", "user", "time", "history", "shown")
_TIME = "%m/%d/%Y %I:%M:%S %p"


class MindLayout:
    """A shown article is an interaction with label 1 (clicked) or 0; an article without text has no content.

    The clicks of a history carry no time in the file. They are events ``history``, placed in order just before the
    user's first impression, one second apart, so that every split by time keeps them earlier.
    """

    cites = (
        "msnews.github.io (github.com/msnews/msnews.github.io assets/doc/introduction.md): 5 and 8 columns, no header"
    )

    def recognise(self, path: Path) -> float:
        """High if both files are there and their first lines have as many columns as documented."""
        if not path.is_dir() or not all((path / name).is_file() for name in ("behaviors.tsv", "news.tsv")):
            return 0.0
        counts = [len(first_line(path / name).split("\t")) for name in ("behaviors.tsv", "news.tsv")]
        return 0.95 if counts[0] == 5 and counts[1] >= 5 else 0.3

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read impressions and histories; clicks are positive and the split is by time by default.

        Raises:
            DataError: naming the file and row of a time or label that cannot be read.
        """
        file = path / "behaviors.tsv"
        shown = lines_of(file, BEHAVIOURS).with_row_index("row", 1)
        times = shown["time"].str.to_datetime(_TIME, strict=False, time_unit="us").dt.epoch("s")
        bad = times.is_null().arg_true()
        if len(bad):
            at = int(bad[0])
            raise DataError(f"not a time: {shown['time'][at]!r}", file=file, row=at + 1, column="time")
        shown = shown.with_columns(time=times)
        log = pl.concat([_histories(shown), _impressions(shown, file)])
        news = lines_of(path / "news.tsv", NEWS)
        unknown = log.select(id=pl.col("item").unique(maintain_order=True)).join(news, on="id", how="anti")
        items = pl.concat([news, unknown.filter(pl.col("id").is_not_null())], how="diagonal")
        kinds = {"id": "id", "title": "text", "abstract": "text"}
        kinds |= {"category": "attributes", "subcategory": "attributes"}
        return Dataset.from_frames(
            items,
            log,
            pl.DataFrame({"id": shown["user"].unique(maintain_order=True)}),
            columns=kinds,
            roles={role: role for role in log.columns},
            positive=options.get("positive") or {"label": ">=1"},
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "temporal",
            root=path,
            name=path.resolve().name,
            layout="mind",
            files={"items": path / "news.tsv", "interactions": file, "users": file},
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write impressions; events without an impression become histories.

        Raises:
            DataError: if the data has no impressions, times or labels.
        """
        table = external_log(data)
        for role in ("impression", "time", "label"):
            if role not in table.columns:
                raise DataError("this layout needs impressions", column=role, hint="use layout folder")
        past = table.filter(pl.col("impression").is_null()).group_by("user").agg(history=pl.col("item").sort_by("time"))
        shown = (
            table.filter(pl.col("impression").is_not_null())
            .sort("position" if "position" in table.columns else "time", maintain_order=True)
            .with_columns(shown=pl.format("{}-{}", "item", pl.col("label").cast(pl.Int64)))
            .group_by("impression", "user", "time")
            .agg("shown", first=pl.col("row").min() if "row" in table.columns else pl.col("time").min())
            .sort("first", "impression")
            .join(past, on="user", how="left", maintain_order="left")
        )
        lines = shown.select(
            "impression",
            "user",
            pl.from_epoch("time").dt.strftime("%-m/%-d/%Y %-I:%M:%S %p"),
            pl.col("history").list.join(" ").fill_null(""),
            pl.col("shown").list.join(" "),
        )
        _plain(lines, folder / "behaviors.tsv")
        present = set(data.items.frame.columns)
        id_column = next((c for c in data.items.frame.columns if data.items.frame[c].equals(data.items.ids.ids)), None)
        frame = data.items.frame.rename({id_column: "id"} if id_column and id_column != "id" else {})
        news = frame.select([pl.col(c) if c in present or c == "id" else pl.lit("").alias(c) for c in NEWS])
        described = news.filter(pl.any_horizontal(pl.col(NEWS[1:]).is_not_null()))
        folds = [pl.col(c).cast(pl.String).str.replace_all(r"[\t\r\n]", " ").fill_null("") for c in NEWS]
        _plain(described.select(folds), folder / "news.tsv")


def _histories(shown: pl.DataFrame) -> pl.DataFrame:
    """Each user's longest history, before the first impression."""
    past = (
        shown.with_columns(items=pl.col("history").str.split(" "))
        .group_by("user", maintain_order=True)
        .agg(
            pl.col("time").min(),
            pl.col("items").sort_by(pl.col("items").list.len(), descending=True, nulls_last=True).first(),
            pl.col("row").first(),
        )
        .filter(pl.col("items").is_not_null())
        .with_columns(back=pl.int_ranges(pl.col("items").list.len().cast(pl.Int64), 0, -1))
        .explode("items", "back")
    )
    return past.filter(pl.col("items") != "").select(
        "user",
        pl.col("items").alias("item"),
        pl.col("time") - pl.col("back"),
        pl.lit(None, pl.String).alias("impression"),
        pl.lit(None, pl.Int64).alias("position"),
        pl.lit(1, pl.Int64).alias("label"),
        pl.lit("history").alias("event"),
        pl.col("row").cast(pl.Int64),
    )


def _impressions(shown: pl.DataFrame, file: Path) -> pl.DataFrame:
    long = (
        shown.with_columns(shown=pl.col("shown").str.split(" "))
        .with_columns(position=pl.int_ranges(1, pl.col("shown").list.len().cast(pl.Int64) + 1))
        .explode("shown", "position")
        .filter(pl.col("shown").is_not_null() & (pl.col("shown") != ""))
    )
    parts = long["shown"].str.extract_groups(r"^(.+)-([01])$").struct.unnest()
    bad = parts["1"].is_null().arg_true()
    if len(bad):
        at = int(bad[0])
        raise DataError(
            f"{long['shown'][at]!r} has no click label",
            file=file,
            row=int(long["row"][at]),
            hint="write N123-0 or N123-1; the unlabelled test release cannot be used",
        )
    return long.select(
        "user",
        parts["1"].alias("item"),
        "time",
        "impression",
        "position",
        parts["2"].cast(pl.Int64).alias("label"),
        pl.lit("impression").alias("event"),
        pl.col("row").cast(pl.Int64),
    )


def _plain(frame: pl.DataFrame, file: Path) -> None:
    with open(file, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        writer.writerows(frame.rows())


readers.register("mind")(MindLayout())
