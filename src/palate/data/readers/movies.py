"""MovieLens ratings with posters and OMDb text: ``movies.jsonl``, ``ratings.csv``, ``posters/<movie_id>.jpg``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.frames import to_source
from palate.data.id_columns import unify_ids
from palate.data.id_spelling import parse_id_types
from palate.data.load import readers
from palate.data.readers.shared.files import copy_media, media_by_id
from palate.data.readers.shared.tables import external_log
from palate.data.tables import read_source, read_table, write_table

TEXT = ("title", "Plot")
ATTRIBUTES = ("Genre", "Director", "Actors", "Writer", "Year", "Language", "Country", "Runtime", "Rated")


class MoviesLayout:
    """Items are the rows of movies.jsonl, in order; ratings of other movies are left out and counted."""

    cites = "files.grouplens.org/datasets/movielens/ml-latest-small-README.html; omdbapi.com field names"

    def recognise(self, path: Path) -> float:
        """High if both tables are there."""
        return 0.95 if (path / "movies.jsonl").is_file() and (path / "ratings.csv").is_file() else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read movies and ratings; ratings of at least 4 are positive and items are cold by default.

        Raises:
            DataError: naming the file and row or column.
        """
        items, kinds = movie_items(path)
        ratings = read_source(path / "ratings.csv")
        for column in ("userId", "movieId"):
            if column not in ratings.frame.columns:
                raise DataError("no such column", file=path / "ratings.csv", column=column)
        tables, _ = unify_ids(
            {"items": to_source(items), "interactions": ratings},
            {"item": [("items", "movie_id"), ("interactions", "movieId")], "user": [("interactions", "userId")]},
            parse_id_types(options.get("ids")),
            {"items": str(path / "movies.jsonl"), "interactions": str(path / "ratings.csv")},
        )
        items, ratings = tables["items"].frame, tables["interactions"]
        known = ratings.filter(ratings.frame["movieId"].is_in(items["movie_id"].implode()))
        data = Dataset.from_frames(
            items,
            known,
            columns=kinds,
            roles={"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"},
            positive=options.get("positive") or {"rating": ">=4"},
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or "item_cold",
            root=path,
            name="movies",
            layout="movies",
            files={"items": path / "movies.jsonl", "interactions": path / "ratings.csv"},
        )
        lost = len(ratings.frame) - len(known.frame)
        if not lost:
            return data
        note = f"{lost} ratings of movies without a row in movies.jsonl left out"
        return replace(data, notes=(*data.notes, note))

    def write(self, data: Dataset, folder: Path) -> None:
        """Write tables and posters.

        Raises:
            DataError: if item ids are text, or users, ratings or times are missing.
        """
        if data.items.ids.ids.dtype != pl.Int64:
            raise DataError("this layout needs integer item ids", hint="use layout folder")
        frame = data.items.frame.drop("poster", strict=False).with_columns(movie_id=data.items.ids.ids)
        numbers = [pl.col(c).cast(pl.Int64).cast(pl.String) for c in ("Year", "Runtime") if c in frame.columns]
        write_table(frame.with_columns(numbers), folder / "movies.jsonl")
        names = {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"}
        table = external_log(data)
        for role in names:
            if role not in table.columns:
                raise DataError("this layout needs the column", column=role, hint="use layout folder")
        write_table(table.select([pl.col(role).alias(c) for role, c in names.items()]), folder / "ratings.csv")
        copy_media(data, folder)


def movie_items(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """The movies of ``path`` with the files of their posters, and the kind of each column.

    Args:
        path: the folder with ``movies.jsonl`` and ``posters``.

    Raises:
        DataError: if the table has no ``movie_id``.
    """
    items = read_table(path / "movies.jsonl")
    if "movie_id" not in items.columns:
        raise DataError("no movie_id", file=path / "movies.jsonl", column="movie_id")
    items = items.with_columns(pl.col(pl.String).replace({"N/A": None, "": None}))
    posters = media_by_id(path, items["movie_id"], ["posters"], (".jpg",))
    items = items.with_columns(
        posters.alias("poster"), _leading_number(items, "Year"), _leading_number(items, "Runtime")
    )
    kinds = {"movie_id": "id", "poster": "image"} | {c: "text" for c in TEXT if c in items.columns}
    return items, kinds | {column: "attributes" for column in ATTRIBUTES if column in items.columns}


def _leading_number(frame: pl.DataFrame, column: str) -> pl.Series:
    """The first number of each text: OMDb writes '2001-2005' and '81 min'."""
    if column not in frame.columns:
        return pl.Series(column, [None] * len(frame), dtype=pl.Float64)
    return frame[column].cast(pl.String).str.extract(r"(\d+)").cast(pl.Float64).alias(column)


readers.register("movies")(MoviesLayout())
