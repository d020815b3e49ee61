"""MovieLens 1M and 10M: ``ratings.dat``, ``movies.dat`` and maybe ``users.dat``, fields between ``::``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with, users_with
from palate.data.readers.shared.text_tables import read_text, write_text
from palate.data.source_table import SourceTable

LOG = ("user_id", "movie_id", "rating", "timestamp")
MOVIES = ("movie_id", "title", "genres")
USERS = ("user_id", "gender", "age", "occupation", "zip_code")
NO_GENRES = "(no genres listed)"
ROLES = {"user": "user_id", "item": "movie_id", "rating": "rating", "time": "timestamp"}
KINDS = {"movie_id": "id", "title": "text", "genres": "attributes"}
_RATING = re.compile(r"[^:]+::[^:]+::\d+(?:\.\d+)?::\d+")


class MovieLensLayout:
    """Every rating is an interaction; genres are a list, occupations are codes; Latin-1 where it is not UTF-8."""

    cites = "files.grouplens.org/datasets/movielens/ml-1m-README.txt: UserID::MovieID::Rating::Timestamp; MovieID::Title::Genres; UserID::Gender::Age::Occupation::Zip-code"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if both tables are there and the first rating has four fields."""
        known = _RATING.fullmatch(first_line(path / "ratings.dat")) and "::" in first_line(path / "movies.dat")
        return 0.95 if known else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all ratings; the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and row.
        """
        files = {"interactions": path / "ratings.dat", "items": path / "movies.dat"}
        people = path / "users.dat"
        tables = PublicTables(
            read_text(files["interactions"], "::", LOG),
            ROLES,
            files | ({"users": people} if people.is_file() else {}),
            split_genres(read_text(files["items"], "::", MOVIES, absent=(NO_GENRES,))),
            KINDS,
            _codes(read_text(people, "::", USERS)) if people.is_file() else None,
        )
        return build_public(tables, path, "movielens", options, "leave_one_out")

    def write(self, data: Dataset, folder: Path) -> None:
        """Write the tables in UTF-8.

        Raises:
            DataError: if ratings or times are missing, or a text holds ``::``.
        """
        log = log_with(data, "rating", "time").select("user", "item", "rating", "time")
        write_text(log, folder / "ratings.dat", "::", header=False)
        movies = items_with(data, "movie_id", MOVIES).with_columns(joined_genres(data))
        write_text(movies, folder / "movies.dat", "::", header=False)
        if len(data.users.frame.columns) > 1:
            write_text(users_with(data, "user_id", USERS), folder / "users.dat", "::", header=False)


def split_genres(movies: SourceTable) -> SourceTable:
    """Movies with their genres as lists; texts keep their spelling.

    Args:
        movies: a table with ``title`` and ``genres``.
    """
    genres = movies.spelled("genres").cast(pl.String).str.split("|")
    return movies.with_columns(movies.spelled("title").cast(pl.String), genres)


def joined_genres(data: Dataset) -> pl.Series:
    """The genres of all items as one text each, ``(no genres listed)`` where there is none.

    Args:
        data: the data set.
    """
    frame = data.items.frame
    if "genres" not in frame.columns:
        return pl.Series("genres", [NO_GENRES] * len(frame))
    genres = frame["genres"]
    text = genres.list.join("|") if isinstance(genres.dtype, pl.List) else genres.cast(pl.String)
    return text.fill_null(NO_GENRES).alias("genres")


def _codes(users: SourceTable) -> SourceTable:
    """Users with their occupation and zip code as codes."""
    return users.with_columns(*(users.spelled(column).cast(pl.String) for column in ("occupation", "zip_code")))


readers.register("movielens")(MovieLensLayout())
