"""Amazon reviews, 2018 release: ``Name_5.json[.gz]`` and ``meta_Name.json[.gz]``, one object a line."""

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
    "user": (pl.String(), lambda o: o.get("reviewerID")),
    "item": (pl.String(), lambda o: o.get("asin")),
    "rating": (pl.Float64(), lambda o: o.get("overall")),
    "time": (pl.Int64(), lambda o: o.get("unixReviewTime")),
}
ITEMS: dict[str, Column] = {
    "id": (pl.String(), lambda o: o.get("asin")),
    "title": (pl.String(), lambda o: _title(o.get("title"))),
    "description": (pl.String(), lambda o: plain_text(o.get("description"))),
    "features": (pl.String(), lambda o: plain_text(o.get("feature"))),
    "brand": (pl.String(), lambda o: plain_text(o.get("brand"))),
    "categories": (pl.List(pl.String), lambda o: words(o.get("category"))),
    "price": (pl.Float64(), lambda o: price(o.get("price"))),
    "image_url": (pl.String(), lambda o: _first(o.get("imageURLHighRes")) or _first(o.get("imageURL"))),
    "related_also_buy": (pl.List(pl.String), lambda o: words(o.get("also_buy"))),
    "related_also_view": (pl.List(pl.String), lambda o: words(o.get("also_view"))),
}


class Amazon18Layout:
    """Reviews are interactions (times in seconds), HTML in texts is removed, pictures are ``images/<asin>.jpg``."""

    cites = "nijianmo.github.io/amazon: reviewerID, asin, overall, unixReviewTime; asin, title, feature, description, price, imageURL, imageURLHighRes, also_buy, also_view, brand, category"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High if the first line has the keys of a review."""
        return 0.95 if find(path, {"reviewerID", "asin", "overall"}) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read one category: every review is positive, and the split leaves the last one of each user out by default.

        Raises:
            DataError: naming the file and line; if there are no reviews, or several categories and no ``name``.
        """
        files = find(path, {"reviewerID", "asin", "overall"})
        if not files:
            raise DataError("no reviews with reviewerID, asin and overall", file=path)
        reviews, name = choose_reviews(files, options.get("name"), path)
        meta = choose_metadata(find(reviews.parent, {"asin"}, {"reviewerID", "parent_asin"}), name, path)
        return build(reviews, meta, (LOG, ITEMS), name, "amazon18", options)

    def write(self, data: Dataset, folder: Path) -> None:
        """Write one object a line, texts in their cleaned form."""
        table = external_log(data)
        lines = (
            {"reviewerID": r["user"], "asin": r["item"], "overall": r.get("rating"), "unixReviewTime": r.get("time")}
            for r in table.iter_rows(named=True)
        )
        write_lines(folder / f"{data.name}_5.json", lines)
        frame = data.items.frame.with_columns(id=data.items.ids.ids)
        names = {"features": "feature", "categories": "category", "image_url": "imageURLHighRes", "id": "asin"}
        names |= {"related_also_buy": "also_buy", "related_also_view": "also_view"}
        wrapped = {"description", "feature", "imageURLHighRes"}
        records = (
            {
                key: [value] if key in wrapped else value
                for column, value in row.items()
                if value is not None and (key := names.get(column, column))
            }
            for row in frame.select([c for c in ITEMS if c in frame.columns]).iter_rows(named=True)
        )
        write_lines(folder / f"meta_{data.name}.json", records)
        copy_media(data, folder)


def _title(value: Any) -> str | None:
    """The title; None for the page scripts that stand in place of some titles of this release."""
    text = plain_text(value)
    return None if text is None or text.startswith("var aPageStart") or "getTime()" in text[:300] else text


def _first(value: Any) -> str | None:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) and first else None


readers.register("amazon18")(Amazon18Layout())
