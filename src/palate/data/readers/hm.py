"""H&M: ``transactions_train.csv``, ``articles.csv``, ``customers.csv`` and ``images/010/0108775015.jpg``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.media_values import MEDIA_ENDINGS
from palate.data.readers.shared.files import copy_media, first_line, media_by_id
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with, users_with
from palate.data.tables import read_source, write_table

TEXT = ("prod_name", "detail_desc")
LOG = ("t_dat", "customer_id", "article_id")
USERS = ("FN", "Active", "club_member_status", "fashion_news_frequency", "age", "postal_code")


class HMLayout:
    """Every purchase is an interaction. Names of groups are attributes; their numbers say the same and are carried.

    Article ids are text with their zeros. Price and channel belong to a purchase and are carried, not used.
    """

    cites = "kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data: transactions_train.csv, articles.csv, customers.csv, images/"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if the headers of transactions and articles are the published ones."""
        log = first_line(path / "transactions_train.csv").replace('"', "").split(",")
        articles = first_line(path / "articles.csv").replace('"', "").split(",")
        return 0.95 if set(LOG) <= set(log) and {"article_id", "prod_name"} <= set(articles) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all purchases; the split is by time by default.

        Raises:
            DataError: naming the file and row.
        """
        files = {"interactions": path / "transactions_train.csv", "items": path / "articles.csv"}
        people = path / "customers.csv"
        articles = read_source(files["items"])
        ids = articles.spelled("article_id").cast(pl.String)
        pictures = media_by_id(path, ids, ["images/*", "images"], MEDIA_ENDINGS["image"])
        kinds = {"article_id": "id"}
        for column in articles.frame.columns[1:]:
            named = column.endswith("_name") and column not in TEXT
            kinds[column] = "text" if column in TEXT else "category" if named else "ignore"
        if pictures.null_count() < len(pictures):
            articles, kinds["image"] = articles.with_columns(pictures.alias("image")), "image"
        tables = PublicTables(
            read_source(files["interactions"]),
            {"user": "customer_id", "item": "article_id", "time": "t_dat"},
            files | ({"users": people} if people.is_file() else {}),
            articles,
            kinds,
            read_source(people) if people.is_file() else None,
        )
        return build_public(tables, path, "hm", options, "temporal", {"item": "text", "user": "text"})

    def write(self, data: Dataset, folder: Path) -> None:
        """Write the tables and pictures; times become days.

        Raises:
            DataError: if times are missing.
        """
        log = log_with(data, "time")
        day = pl.from_epoch(pl.col("time"), "s").dt.date().cast(pl.String)
        names = {"user": "customer_id", "item": "article_id"}
        write_table(log.select(day.alias("t_dat"), "user", "item").rename(names), folder / "transactions_train.csv")
        columns = [c for c in data.items.frame.columns if c not in ("image", "article_id")]
        articles = items_with(data, "article_id", ["prod_name", *(c for c in columns if c != "prod_name")])
        write_table(articles, folder / "articles.csv")
        if len(data.users.frame.columns) > 1:
            write_table(users_with(data, "customer_id", USERS), folder / "customers.csv")
        copy_media(data, folder)


readers.register("hm")(HMLayout())
