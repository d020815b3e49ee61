"""MovieLens 100K: ``u.data`` by tabs, ``u.item`` and ``u.user`` by bars, one column of 0 and 1 a genre."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with, users_with
from palate.data.readers.shared.text_tables import read_text, write_text
from palate.data.source_table import SourceTable

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
LOG = ("user_id", "movie_id", "rating", "timestamp")
MOVIES = ("movie_id", "title", "release_date", "video_release_date", "imdb_url")
USERS = ("user_id", "age", "gender", "occupation", "zip_code")


class MovieLens100KLayout:
    """Every rating is an interaction; the flags of genres are one list. Dates and addresses are carried, not encoded.

    The files of published folds (``ua.base`` ...) hold rows of ``u.data`` and are not read.
    """

    cites = "files.grouplens.org/datasets/movielens/ml-100k-README.txt: u.data, u.item, u.user, u.genre"

    def recognise(self, path: Path) -> float:
        """High for four fields by tabs in u.data, 0.97 with u.item."""
        if first_line(path / "u.data").count("\t") != 3:
            return 0.0
        return 0.95 if first_line(path / "u.item").count("|") == len(MOVIES) + len(GENRES) - 1 else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all ratings; the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and row.
        """
        files = {"interactions": path / "u.data", "items": path / "u.item"}
        people = path / "u.user"
        tables = PublicTables(
            read_text(files["interactions"], "\t", LOG),
            {"user": "user_id", "item": "movie_id", "rating": "rating", "time": "timestamp"},
            files | ({"users": people} if people.is_file() else {}),
            _movies(read_text(files["items"], "|", (*MOVIES, *GENRES)), files["items"]),
            {"movie_id": "id", "title": "text", "genres": "attributes"}
            | dict.fromkeys(("release_date", "video_release_date", "imdb_url"), "ignore"),
            _people(read_text(people, "|", USERS)) if people.is_file() else None,
        )
        return build_public(tables, path, "movielens_100k", options, "leave_one_out")

    def write(self, data: Dataset, folder: Path) -> None:
        """Write the tables in UTF-8.

        Raises:
            DataError: if ratings or times are missing, a genre is not one of the nineteen, or a text holds a bar.
        """
        log = log_with(data, "rating", "time").select("user", "item", "rating", "time")
        write_text(log, folder / "u.data", "\t", header=False)
        movies = items_with(data, "movie_id", (*MOVIES, "genres"))
        genres = movies["genres"] if isinstance(movies["genres"].dtype, pl.List) else None
        names = [] if genres is None else genres.explode().drop_nulls().unique().to_list()
        for name in names:
            if name not in GENRES:
                raise DataError("this layout has nineteen genres", key=name, hint="use layout folder")
        flags = [
            pl.lit(0).alias(name)
            if genres is None
            else genres.list.contains(name).fill_null(False).cast(pl.Int8).alias(name)
            for name in GENRES
        ]
        write_text(movies.drop("genres").with_columns(flags), folder / "u.item", "|", header=False)
        if len(data.users.frame.columns) > 1:
            write_text(users_with(data, "user_id", USERS), folder / "u.user", "|", header=False)


def _movies(movies: SourceTable, file: Path) -> SourceTable:
    """Movies with their genres as one list."""
    frame = movies.frame
    for name in GENRES:
        bad = (~frame[name].cast(pl.Int64, strict=False).is_in([0, 1])).fill_null(True).arg_true()
        if len(bad):
            raise DataError("a genre is not 0 or 1", file=file, row=int(bad[0]) + 1, column=name)
    chosen = [pl.when(pl.col(name).cast(pl.Int64) == 1).then(pl.lit(name)) for name in GENRES]
    listed = frame.select(pl.concat_list(chosen).list.drop_nulls().alias("genres"))["genres"]
    texts = [movies.spelled(column).cast(pl.String) for column in MOVIES[1:]]
    added = movies.with_columns(*texts, listed)
    return SourceTable(added.frame.drop(GENRES), {k: v for k, v in added.text.items() if k not in GENRES}, {}, (), True)


def _people(users: SourceTable) -> SourceTable:
    return users.with_columns(users.spelled("zip_code").cast(pl.String))


readers.register("movielens_100k")(MovieLens100KLayout())
