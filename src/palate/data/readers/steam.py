"""Steam reviews of UCSD: ``steam_reviews.json`` and ``steam_games.json``, one Python dictionary a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import files_in, first_line
from palate.data.readers.shared.jsonl import Column, keys_of, read_columns
from palate.data.readers.shared.public import PublicTables, build_public, items_with, log_with
from palate.data.readers.shared.text import plain_text, price, words
from palate.data.source_table import typed_table

REVIEW, GAME = {"username", "product_id", "date"}, {"id", "app_name"}
LOG: dict[str, Column] = {
    "user": (pl.String(), lambda o: _text(o.get("username"))),
    "item": (pl.String(), lambda o: _text(o.get("product_id"))),
    "time": (pl.String(), lambda o: _text(o.get("date"))),
}
GAMES: dict[str, Column] = {
    "id": (pl.String(), lambda o: _text(o.get("id"))),
    "title": (pl.String(), lambda o: plain_text(o.get("app_name") or o.get("title"))),
    "genres": (pl.List(pl.String), lambda o: words(o.get("genres"))),
    "tags": (pl.List(pl.String), lambda o: words(o.get("tags"))),
    "specs": (pl.List(pl.String), lambda o: words(o.get("specs"))),
    "developer": (pl.String(), lambda o: plain_text(o.get("developer"))),
    "publisher": (pl.String(), lambda o: plain_text(o.get("publisher"))),
    "price": (pl.Float64(), lambda o: price(o.get("price"))),
    "release_date": (pl.String(), lambda o: plain_text(o.get("release_date"))),
    "sentiment": (pl.String(), lambda o: plain_text(o.get("sentiment"))),
}
_ENDINGS = ("json", "jsonl", "json.gz", "jsonl.gz")


class SteamLayout:
    """Every review is an interaction of a user name with a game; lines are read as literals, never run.

    A free game costs 0. ``sentiment`` sums up all reviews, the test part included, and is carried, not encoded.
    """

    cites = "cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data: username, product_id, date, hours, text; id, app_name, genres, tags, specs, price, developer"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if the first line of a file has the keys of a review."""
        return 0.95 if _find(path, REVIEW) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all reviews; the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and line; if there is not one file of reviews.
        """
        reviews, games = _find(path, REVIEW), _find(path, GAME)
        if len(reviews) != 1:
            listed = ", ".join(file.name for file in reviews) or "none"
            raise DataError(f"one file of reviews is expected, found {listed}", file=path, hint="give the file")
        goods = read_columns(games[0], GAMES, literals=True) if games else None
        repeats = 0
        if goods is not None:
            first = goods["id"].is_not_null() & goods["id"].is_first_distinct()
            repeats, goods = len(goods) - int(first.sum()), goods.filter(first)
        kinds = {"id": "id", "title": "text", "release_date": "ignore", "sentiment": "ignore", "price": "number"}
        tables = PublicTables(
            typed_table(read_columns(reviews[0], LOG, literals=True), from_text=True),
            {"user": "user", "item": "item", "time": "time"},
            {"interactions": reviews[0]} | ({"items": games[0]} if games else {}),
            None if goods is None else typed_table(goods),
            {name: kinds.get(name, "attributes") for name in GAMES} if goods is not None else None,
            notes=[f"items: {repeats:,} lines without an id, or with a repeated one, are left out"] if repeats else (),
        )
        root = path if path.is_dir() else path.parent
        return build_public(tables, root, "steam", options, "leave_one_out", {"user": "text", "item": "text"})

    def write(self, data: Dataset, folder: Path) -> None:
        """Write one dictionary a line.

        Raises:
            DataError: if times are missing.
        """
        log = log_with(data, "time").with_columns(date=pl.from_epoch(pl.col("time"), "s").cast(pl.String))
        with open(folder / "steam_reviews.json", "w", encoding="utf-8") as handle:
            for user, item, date in log.select("user", "item", "date").iter_rows():
                handle.write(f"{ {'username': str(user), 'product_id': str(item), 'date': date}!r}\n")
        games = items_with(data, "id", tuple(GAMES)).rename({"title": "app_name"})
        with open(folder / "steam_games.json", "w", encoding="utf-8") as handle:
            for row in games.iter_rows(named=True):
                handle.write(
                    f"{ {key: value for key, value in row.items() if value is not None or key == 'app_name'}!r}\n"
                )


def _find(path: Path, keys: set[str]) -> list[Path]:
    """Files whose first line is a dictionary with these keys."""
    files = [
        file
        for ending in _ENDINGS
        for file in files_in(path if keys == REVIEW or path.is_dir() else path.parent, f"*.{ending}", 0)
    ]
    return [file for file in sorted(set(files)) if keys <= keys_of(first_line(file, 1 << 20), literals=True)]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


readers.register("steam")(SteamLayout())
