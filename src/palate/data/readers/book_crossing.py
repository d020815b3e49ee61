"""Book-Crossing: ``BX-Book-Ratings.csv``, ``BX-Books.csv`` and ``BX-Users.csv``, with ``;``, quoted, in Latin-1."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.absent import ABSENT
from palate.data.csv_reader import read_csv
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import files_in, first_line
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with, users_with
from palate.data.readers.shared.text_tables import encoding_of
from palate.data.regular_file import check_regular
from palate.data.source_table import SourceTable, typed_table
from palate.data.table_format import TableFormat

LOG = ("User-ID", "ISBN", "Book-Rating")
BOOKS = (
    "ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher",
    "Image-URL-S", "Image-URL-M", "Image-URL-L",
)  # fmt: skip
USERS = ("User-ID", "Location", "Age")
_ESCAPE = re.compile(rb'\\(["\\])')


class BookCrossingLayout:
    """ISBNs are text. A rating of 0 is implicit: an event without a rating; addresses of covers are carried only.

    Quotation marks behind a backslash are read as they are meant. A year of 0 is absent.
    """

    cites = "informatik.uni-freiburg.de/~cziegler/BX: BX-Users (User-ID, Location, Age), BX-Books (ISBN, Book-Title ...), BX-Book-Ratings (User-ID, ISBN, Book-Rating)"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if tables with the published headers of ratings and books are there."""
        return 0.95 if _find(path, LOG) and _find(path, BOOKS[:2]) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all events; there are no times, and the split is random by default.

        Raises:
            DataError: naming the file and row; if a table is missing.
        """
        ratings, books, people = _find(path, LOG), _find(path, BOOKS[:2]), _find(path, USERS[:2])
        if ratings is None or books is None:
            raise DataError("no ratings or no books", file=path, hint="BX-Book-Ratings.csv and BX-Books.csv")
        log, implicit = _explicit(_table(ratings), ratings)
        goods = _table(books)
        carried = [column for column in goods.frame.columns if column.startswith("Image-URL")]
        kinds = {
            "Book-Title": "text",
            "Book-Author": "attributes",
            "Year-Of-Publication": "number",
            "Publisher": "category",
        }
        tables = PublicTables(
            log,
            {"user": "User-ID", "item": "ISBN", "rating": "Book-Rating"},
            {"interactions": ratings, "items": books} | ({} if people is None else {"users": people}),
            _with_years(goods),
            {"ISBN": "id"}
            | {c: k for c, k in kinds.items() if c in goods.frame.columns}
            | dict.fromkeys(carried, "ignore"),
            None if people is None else _table(people),
            notes=[f"interactions: {implicit:,} ratings of 0 are implicit: events without a rating"]
            if implicit
            else (),
        )
        root = path if path.is_dir() else path.parent
        return build_public(tables, root, "book_crossing", options, "random", {"item": "text"})

    def write(self, data: Dataset, folder: Path) -> None:
        """Write the tables in UTF-8; an event without a rating gets 0."""
        log = log_with(data)
        rating = pl.col("rating").fill_null(0) if "rating" in log.columns else pl.lit(0)
        _write(
            log.select(pl.col("user").alias("User-ID"), pl.col("item").alias("ISBN"), rating.alias("Book-Rating")),
            folder / "BX-Book-Ratings.csv",
        )
        _write(items_with(data, "ISBN", BOOKS), folder / "BX-Books.csv")
        if len(data.users.frame.columns) > 1:
            _write(users_with(data, "User-ID", USERS), folder / "BX-Users.csv")


def _find(path: Path, columns: tuple[str, ...]) -> Path | None:
    """The first CSV file whose header begins with these columns."""
    folder = path if path.is_dir() else path.parent
    for file in files_in(folder, "*.csv", 0):
        header = first_line(file).replace('"', "")
        if tuple(re.split("[;,]", header))[: len(columns)] == columns:
            return file
    return None


def _table(file: Path) -> SourceTable:
    check_regular(file)
    raw = _ESCAPE.sub(lambda match: b'""' if match[1] == b'"' else b"\\", file.read_bytes())
    separator = ";" if ";" in first_line(file) else ","
    form = TableFormat(encoding_of(file), separator, quote=True)
    frame, issues = read_csv(file, raw, separator, form)
    return typed_table(frame, ABSENT, True, issues)


def _explicit(log: SourceTable, file: Path) -> tuple[SourceTable, int]:
    """The log without ratings of 0, and how many there were."""
    ratings = log.spelled("Book-Rating").cast(pl.Float64, strict=False)
    bad = (ratings.is_null() & log.frame["Book-Rating"].is_not_null()).arg_true()
    if len(bad):
        value = log.frame["Book-Rating"][int(bad[0])]
        raise DataError(f"not a rating: {value!r}", file=file, row=int(bad[0]) + 1, column="Book-Rating")
    zero = (ratings == 0).fill_null(False)
    return log.with_columns(ratings.set(zero, None).alias("Book-Rating")), int(zero.sum())


def _with_years(books: SourceTable) -> SourceTable:
    if "Year-Of-Publication" not in books.frame.columns:
        return books
    years = books.spelled("Year-Of-Publication").cast(pl.Int64, strict=False).replace(0, None)
    return books.with_columns(years.alias("Year-Of-Publication"))


def _write(frame: pl.DataFrame, file: Path) -> None:
    with open(file, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(frame.columns)
        writer.writerows(
            (value if value is None else str(value).replace("\\", "\\\\") for value in row) for row in frame.iter_rows()
        )


readers.register("book_crossing")(BookCrossingLayout())
