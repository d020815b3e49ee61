"""Columns of new items, read as those of the catalogue were."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from palate.data.attribute_columns import without_absent
from palate.data.html_text import clean_texts
from palate.data.media_values import MEDIA, media_column
from palate.data.numbers_in_text import number_column
from palate.data.text_values import literal_column


def conform(values: pl.Series, dtype: pl.DataType, kind: str | None, decimal: str | None) -> pl.Series:
    """A column of new items, read as that of the catalogue was; what cannot be is left for the caller to refuse.

    Args:
        values: the new column.
        dtype: of the catalogue's column.
        kind: of the catalogue's column.
        decimal: the decimal sign of the catalogue's column, and its unit, where its numbers were written as text.
    """
    if kind in MEDIA:
        return media_column(values, kind).values
    if values.dtype != pl.String:
        return values.cast(pl.String) if dtype == pl.String and values.dtype.is_integer() else values
    if kind == "text":
        return clean_texts(values)[0]
    if kind == "attributes" and dtype.is_float():
        read = number_column(without_absent(values), (decimal or "")[:1] or None, share=0.0, unit=(decimal or "")[1:])
        if read is None or not read.unread.any():
            return values if read is None else read.values
        return read.values.cast(pl.String).zip_with(~read.unread, values)
    if kind == "attributes" and isinstance(dtype, pl.List):
        found = literal_column(values)
        return values if found is None else found[0]
    return clean_texts(values)[0] if kind == "attributes" else values


def absent_media(frame: pl.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    """A sentence for each media column of new items that holds addresses instead of files.

    Args:
        frame: rows of the items.
        kinds: column -> kind.
    """
    out = []
    for column, kind in kinds.items():
        if kind in MEDIA and column in frame.columns:
            rows = media_column(frame[column], kind).address.arg_true().to_list()
            if rows:
                first = str(frame[column][rows[0]])[:200]
                of = f"{len(rows)} item{'s' * (len(rows) > 1)}"
                out.append(f"{kind} of {of} is absent: row {rows[0] + 1} of {column} is an address, {first}")
    return out
