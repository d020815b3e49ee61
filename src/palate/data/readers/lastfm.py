"""Last.fm of HetRec 2011: ``user_artists.dat``, ``artists.dat``, and tags by users, by tabs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with
from palate.data.readers.shared.text_tables import read_text, write_text
from palate.data.source_table import SourceTable

LOG, ARTISTS = ("userID", "artistID", "weight"), ("id", "name", "url", "pictureURL")


class LastFmLayout:
    """The weight is the number of plays. Addresses are carried, not encoded.

    Tags that users gave are not read: they are behaviour of the same users, of the test part too.
    """

    cites = "files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-readme.txt: userID artistID weight; id name url pictureURL"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if both files have the published header."""
        headers = [tuple(first_line(path / name).split("\t")) for name in ("user_artists.dat", "artists.dat")]
        return 0.95 if headers == [LOG, ARTISTS] else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all pairs; there are no times, and the split is random by default.

        Raises:
            DataError: naming the file and row.
        """
        files = {"interactions": path / "user_artists.dat", "items": path / "artists.dat"}
        tables = PublicTables(
            read_text(files["interactions"], "\t"),
            {"user": "userID", "item": "artistID", "weight": "weight"},
            files,
            _texts(read_text(files["items"], "\t")),
            {"id": "id", "name": "text", "url": "ignore", "pictureURL": "ignore"},
        )
        return build_public(tables, path, "lastfm", options, "random")

    def write(self, data: Dataset, folder: Path) -> None:
        """Write pairs and artists.

        Raises:
            DataError: if the interactions have no weight, or a text holds a tab.
        """
        log = log_with(data, "weight").select(
            pl.col("user").alias("userID"), pl.col("item").alias("artistID"), "weight"
        )
        write_text(log, folder / "user_artists.dat", "\t")
        write_text(items_with(data, "id", ARTISTS), folder / "artists.dat", "\t")


def _texts(artists: SourceTable) -> SourceTable:
    return artists.with_columns(*(artists.spelled(column).cast(pl.String) for column in ARTISTS[1:]))


readers.register("lastfm")(LastFmLayout())
