"""Last.fm 360K: ``usersha1-artmbid-artname-plays.tsv`` and ``usersha1-profile.tsv``, by tabs, no header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import files_in, first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with, users_with
from palate.data.readers.shared.text_tables import read_text, write_text
from palate.data.source_table import SourceTable, typed_table

LOG = ("user", "mbid", "artist", "plays")
USERS = ("user", "gender", "age", "country", "signup")
_LOG_FILE, _USER_FILE = "usersha1-artmbid-artname-plays.tsv", "usersha1-profile.tsv"


class LastFm360KLayout:
    """An artist is its MusicBrainz id or, where that is absent, its name; the weight is the number of plays."""

    cites = "ocelma.net/MusicRecommendationDataset/lastfm-360K.html: user-mboxsha1, musicbrainz-artist-id, artist-name, plays; gender, age, country, signup"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High for a file of this name with four fields by tabs."""
        files = files_in(path, _LOG_FILE, 0)
        return 0.95 if files and first_line(files[0]).count("\t") == 3 else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all pairs; there are no times, and the split is random by default.

        Raises:
            DataError: naming the file and row.
        """
        root = path if path.is_dir() else path.parent
        file, people = root / _LOG_FILE, root / _USER_FILE
        plays = read_text(file, "\t", LOG)
        mbid, artist = (plays.spelled(column).cast(pl.String) for column in ("mbid", "artist"))
        item = mbid.fill_null(artist).alias("item")
        log = plays.with_columns(item, mbid, artist)
        named = (
            pl.DataFrame({"item": item, "artist": artist})
            .drop_nulls("item")
            .unique("item", maintain_order=True, keep="first")
        )
        count = int((mbid.is_null() & artist.is_not_null()).sum())
        tables = PublicTables(
            SourceTable(
                log.frame.drop("mbid", "artist"), {k: v for k, v in log.text.items() if k == "user"}, {}, (), True
            ),
            {"user": "user", "item": "item", "weight": "plays"},
            {"interactions": file, "items": file} | ({"users": people} if people.is_file() else {}),
            typed_table(named, ()),
            {"item": "id", "artist": "text"},
            _people(read_text(people, "\t", USERS)) if people.is_file() else None,
            notes=[f"items: {count:,} rows without a MusicBrainz id are named by their artist"] if count else (),
        )
        return build_public(tables, root, "lastfm_360k", options, "random", {"item": "text", "user": "text"})

    def write(self, data: Dataset, folder: Path) -> None:
        """Write pairs and profiles; an id that equals the artist's name stands for an absent one.

        Raises:
            DataError: if the interactions have no weight, or a text holds a tab.
        """
        artists = items_with(data, "item", ("artist",)).with_columns(pl.col("item").cast(pl.String))
        log = (
            log_with(data, "weight")
            .with_columns(pl.col("item").cast(pl.String))
            .join(artists, on="item", how="left", maintain_order="left")
        )
        mbid = pl.when(pl.col("item") != pl.col("artist").fill_null("")).then("item").alias("mbid")
        write_text(
            log.select("user", mbid, "artist", pl.col("weight").alias("plays")), folder / _LOG_FILE, "\t", header=False
        )
        if len(data.users.frame.columns) > 1:
            write_text(users_with(data, "user", USERS), folder / _USER_FILE, "\t", header=False)


def _people(users: SourceTable) -> SourceTable:
    texts = (users.spelled(column).cast(pl.String) for column in ("gender", "country", "signup"))
    return users.with_columns(*texts)


readers.register("lastfm_360k")(LastFm360KLayout())
