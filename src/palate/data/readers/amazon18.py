"""Amazon reviews, 2018 release: ``Name_5.json[.gz]`` and ``meta_Name.json[.gz]``, one object a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.amazon import build, choose, find, the_meta
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
    """Reviews are interactions (seconds), HTML in texts is removed, ``images/<asin>.jpg`` are the pictures."""

    cites = "nijianmo.github.io/amazon: reviewerID, asin, overall, unixReviewTime; asin, title, feature, description, price, imageURL, imageURLHighRes, also_buy, also_view, brand, category"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """By the keys of the first line."""
        return 0.95 if find(path, {"reviewerID", "asin", "overall"}) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Every review is a positive unless told otherwise; the last one of each user is left out."""
        files = find(path, {"reviewerID", "asin", "overall"})
        if not files:
            raise DataError("no reviews with reviewerID, asin and overall", file=path)
        reviews, name = choose(files, options.get("name"), path)
        meta = the_meta(find(reviews.parent, {"asin"}, {"reviewerID", "parent_asin"}), name, path)
        return build(reviews, meta, (LOG, ITEMS), name, "amazon18", options)

    def write(self, data: Dataset, folder: Path) -> None:
        """One object a line, texts as they are held."""
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
    """Some titles of this release are scraped page scripts: no title at all."""
    text = plain_text(value)
    return None if text is None or text.startswith("var aPageStart") or "getTime()" in text[:300] else text


def _first(value: Any) -> str | None:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, str) and found else None


readers.register("amazon18")(Amazon18Layout())
