"""RetailRocket: ``events.csv``, ``item_properties_part1.csv`` and ``_part2.csv``, ``category_tree.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with
from palate.data.source_table import SourceTable
from palate.data.tables import read_source, write_table

LOG = ("timestamp", "visitorid", "event", "itemid")
PROPERTIES = ("timestamp", "itemid", "property", "value")
PARTS = ("item_properties_part1.csv", "item_properties_part2.csv", "item_properties.csv")
_MAX_DEPTH = 20


class RetailRocketLayout:
    """Events are views, additions to a basket and transactions. The last value of each property is content.

    ``categories`` is the category of an item and those above it; ``properties`` lists ``property=value``, as both are
    hashed words. Whether an item is available changes over time and is carried, not encoded.
    """

    cites = "kaggle.com/datasets/retailrocket/ecommerce-dataset: events.csv (timestamp, visitorid, event, itemid, transactionid), item_properties (timestamp, itemid, property, value), category_tree.csv (categoryid, parentid)"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if the header of the events is the published one."""
        return 0.95 if tuple(_header(path / "events.csv")[:4]) == LOG else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all events; the split is by time by default.

        Raises:
            DataError: naming the file and row.
        """
        events = path / "events.csv"
        files = [path / name for name in PARTS if tuple(_header(path / name)) == PROPERTIES]
        tree = path / "category_tree.csv"
        log = read_source(events)
        items = _items(files, tree if tree.is_file() else None, log)
        tables = PublicTables(
            log,
            {"user": "visitorid", "item": "itemid", "time": "timestamp", "event": "event"},
            {"interactions": events, "items": files[0] if files else events},
            items,
            {"itemid": "id", "categories": "attributes", "properties": "attributes", "available": "ignore"},
            None,
            [*files, *([tree] if tree.is_file() else [])],
            ["items: of each property the last value in time is read"] if files else (),
        )
        return build_public(tables, path, "retailrocket", options, "temporal")

    def write(self, data: Dataset, folder: Path) -> None:
        """Write events, properties at the time 0, and the tree.

        Raises:
            DataError: if times or types of events are missing.
        """
        log = log_with(data, "time", "event")
        names = {"user": "visitorid", "item": "itemid"}
        moments = log.select((pl.col("time") * 1000).alias("timestamp"), "user", "event", "item").rename(names)
        write_table(moments.with_columns(transactionid=pl.lit(None, pl.Int64)), folder / "events.csv")
        items = items_with(data, "itemid", ("categories", "properties", "available"))
        rows, parents = list[tuple[Any, ...]](), dict[str, str | None]()
        for item, categories, properties, available in items.iter_rows():
            named = {"categoryid": categories[0]} if categories else {}
            named |= dict(entry.split("=", 1) for entry in properties or [])
            named |= {"available": available} if available is not None else {}
            rows += [(0, str(item), name, str(value)) for name, value in named.items()]
            parents |= dict(zip(categories or [], [*(categories or [])[1:], None]))
        write_table(
            pl.DataFrame(rows, schema=dict.fromkeys(PROPERTIES, pl.String) | {"timestamp": pl.Int64}, orient="row"),
            folder / PARTS[0],
        )
        tree = pl.DataFrame(
            list(parents.items()), schema={"categoryid": pl.String, "parentid": pl.String}, orient="row"
        )
        write_table(tree, folder / "category_tree.csv")


def _header(file: Path) -> list[str]:
    return first_line(file).replace('"', "").split(",")


def _items(files: list[Path], tree: Path | None, log: SourceTable) -> SourceTable:
    """One row an item with its last properties; items of the log stand first."""
    schema = dict.fromkeys(PROPERTIES[1:], pl.String)
    parts = [_properties(file) for file in files]
    table = pl.concat(parts) if parts else pl.DataFrame(schema={"timestamp": pl.Int64, **schema})
    last = table.sort("timestamp", maintain_order=True).unique(["itemid", "property"], keep="last", maintain_order=True)
    listed = ~pl.col("property").is_in(["categoryid", "available"])
    grouped = (
        last.sort("property", maintain_order=True)
        .group_by("itemid", maintain_order=True)
        .agg(
            pl.col("value").filter(pl.col("property") == "categoryid").first().alias("categoryid"),
            pl.col("value").filter(pl.col("property") == "available").first().alias("available"),
            (pl.col("property") + "=" + pl.col("value")).filter(listed).alias("properties"),
        )
    )
    used = pl.DataFrame({"itemid": log.spelled("itemid").cast(pl.String).drop_nulls().unique(maintain_order=True)})
    rest = grouped.select("itemid").join(used, on="itemid", how="anti", maintain_order="left")
    frame = pl.concat([used, rest]).join(grouped, on="itemid", how="left", maintain_order="left")
    above = _ancestors(tree)
    lines = [None if code is None else [code, *above.get(code, [])] for code in frame["categoryid"].to_list()]
    categories = pl.Series("categories", lines, dtype=pl.List(pl.String))
    empty = pl.col("properties").list.len() == 0
    frame = frame.with_columns(categories, pl.when(~empty).then("properties").alias("properties"))
    return SourceTable(frame.select("itemid", "categories", "properties", "available"), from_text=True)


def _properties(file: Path) -> pl.DataFrame:
    source = read_source(file)
    times = source.frame["timestamp"].cast(pl.Int64, strict=False)
    bad = times.is_null().arg_true()
    if len(bad):
        raise DataError("not a time", file=file, row=int(bad[0]) + 1, column="timestamp")
    return pl.DataFrame([times, *(source.spelled(column).cast(pl.String) for column in PROPERTIES[1:])])


def _ancestors(tree: Path | None) -> dict[str, list[str]]:
    """Category -> those above it, the nearest first."""
    if tree is None:
        return {}
    source = read_source(tree)
    for column in ("categoryid", "parentid"):
        if column not in source.frame.columns:
            raise DataError("no such column", file=tree, column=column)
    parent = dict(zip(*(source.spelled(column).cast(pl.String).to_list() for column in ("categoryid", "parentid"))))
    out = {}
    for category in parent:
        line, above = list[str](), parent[category]
        while above is not None and above not in (category, *line) and len(line) < _MAX_DEPTH:
            line.append(above)
            above = parent.get(above)
        out[category] = line
    return out


readers.register("retailrocket")(RetailRocketLayout())
