"""MovieLens since 20M and ml-latest: ``ratings.csv``, ``movies.csv`` and tags by users in ``tags.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.movielens import NO_GENRES, joined_genres, split_genres
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with
from palate.data.table_format import TableFormat
from palate.data.tables import read_source, write_table

LOG, MOVIES = "userId,movieId,rating,timestamp", "movieId,title,genres"


class MovieLensCsvLayout:
    """Every rating is an interaction; genres are a list. Tags and links are not read, which is noted."""

    cites = "files.grouplens.org/datasets/movielens/ml-latest-README.html: userId,movieId,rating,timestamp; movieId,title,genres"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if both tables have the published header."""
        headers = (first_line(path / name).replace('"', "") for name in ("ratings.csv", "movies.csv"))
        return 0.94 if tuple(headers) == (LOG, MOVIES) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all ratings; the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and row.
        """
        files = {"interactions": path / "ratings.csv", "items": path / "movies.csv"}
        movies = read_source(files["items"], TableFormat(absent=(NO_GENRES,)))
        tables = PublicTables(
            read_source(files["interactions"]),
            {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"},
            files,
            split_genres(movies),
            {"movieId": "id", "title": "text", "genres": "attributes"},
        )
        return build_public(tables, path, "movielens_csv", options, "leave_one_out")

    def write(self, data: Dataset, folder: Path) -> None:
        """Write ratings and movies.

        Raises:
            DataError: if ratings or times are missing.
        """
        names = {"user": "userId", "item": "movieId", "time": "timestamp"}
        log = log_with(data, "rating", "time").select("user", "item", "rating", "time").rename(names)
        write_table(log, folder / "ratings.csv")
        movies = items_with(data, "movieId", ("title", "genres")).with_columns(joined_genres(data))
        write_table(movies, folder / "movies.csv")


readers.register("movielens_csv")(MovieLensCsvLayout())
