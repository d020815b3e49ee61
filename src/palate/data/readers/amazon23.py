"""Amazon reviews, 2023 release: ``Name.jsonl[.gz]`` and ``meta_Name.jsonl[.gz]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.amazon import build, choose_metadata, choose_reviews, find
from palate.data.readers.shared.files import copy_media
from palate.data.readers.shared.jsonl import Column, write_lines
from palate.data.readers.shared.tables import external_log
from palate.data.readers.shared.text import plain_text, price, words

LOG: dict[str, Column] = {
    "user": (pl.String(), lambda o: o.get("user_id")),
    "item": (pl.String(), lambda o: o.get("parent_asin")),
    "rating": (pl.Float64(), lambda o: o.get("rating")),
    "time": (pl.Int64(), lambda o: o.get("timestamp", o.get("sort_timestamp"))),
}
ITEMS: dict[str, Column] = {
    "id": (pl.String(), lambda o: o.get("parent_asin")),
    "title": (pl.String(), lambda o: plain_text(o.get("title"))),
    "description": (pl.String(), lambda o: plain_text(o.get("description"))),
    "features": (pl.String(), lambda o: plain_text(o.get("features"))),
    "brand": (pl.String(), lambda o: plain_text(o.get("store"))),
    "categories": (pl.List(pl.String), lambda o: words(o.get("categories"))),
    "price": (pl.Float64(), lambda o: price(o.get("price"))),
    "image_url": (pl.String(), lambda o: _picture(o.get("images"))),
}


class Amazon23Layout:
    """Like the 2018 release with ``parent_asin`` as the item and milliseconds.

    ``average_rating`` and ``rating_number`` are left out: they are computed over all reviews, test included.
    """

    cites = "amazon-reviews-2023.github.io: user_id, parent_asin, rating, timestamp [ms]; parent_asin, title, features, description, categories, store, price, images"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if the first line has the keys of a review."""
        return 0.95 if find(path, {"user_id", "parent_asin", "rating"}) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read one category: every review is positive, and the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and line; if there are no reviews, or several categories and no ``name``.
        """
        files = find(path, {"user_id", "parent_asin", "rating"})
        if not files:
            raise DataError("no reviews with user_id, parent_asin and rating", file=path)
        reviews, name = choose_reviews(files, options.get("name"), path)
        meta = choose_metadata(find(reviews.parent, {"parent_asin", "title"}, {"user_id"}), name, path)
        return build(reviews, meta, (LOG, ITEMS), name, "amazon23", options)

    def write(self, data: Dataset, folder: Path) -> None:
        """Write one object a line, times in milliseconds."""
        table = external_log(data)
        lines = (
            {
                "rating": row.get("rating"),
                "parent_asin": row["item"],
                "asin": row["item"],
                "user_id": row["user"],
                "timestamp": None if row.get("time") is None else row["time"] * 1000,
            }
            for row in table.iter_rows(named=True)
        )
        write_lines(folder / f"{data.name}.jsonl", lines)
        frame = data.items.frame.with_columns(id=data.items.ids.ids)
        write_lines(folder / f"meta_{data.name}.jsonl", (_record(row) for row in frame.iter_rows(named=True)))
        copy_media(data, folder)


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    picture = row.get("image_url")
    return {
        "parent_asin": row["id"],
        "title": row.get("title"),
        "features": [row["features"]] if row.get("features") else [],
        "description": [row["description"]] if row.get("description") else [],
        "categories": row.get("categories") or [],
        "store": row.get("brand"),
        "price": row.get("price"),
        "images": [{"variant": "MAIN", "hi_res": picture, "large": picture}] if picture else [],
    }


def _picture(images: Any) -> str | None:
    """URL of the main picture; the raw files hold a list of objects, the hub's tables an object of lists."""
    if isinstance(images, dict):
        keys = [key for key in images if isinstance(images[key], list)]
        images = [dict(zip(keys, values)) for values in zip(*(images[key] for key in keys))]
    if not isinstance(images, list):
        return None
    shots = [shot for shot in images if isinstance(shot, dict)]
    main = next((shot for shot in shots if shot.get("variant") == "MAIN"), shots[0] if shots else {})
    url = main.get("hi_res") or main.get("large") or main.get("thumb")
    return url if isinstance(url, str) else None


readers.register("amazon23")(Amazon23Layout())
