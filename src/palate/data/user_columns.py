"""Columns of the users' table as attributes: prices as numbers, texts of lists as lists, no HTML."""

from __future__ import annotations

import polars as pl

from palate.data.attribute_columns import read_attribute
from palate.data.column_kinds import guess_column
from palate.data.content_table import ContentTable

_DIGITS = r"^\s*\d+\s*$"


def read_user_columns(frame: pl.DataFrame, key: str) -> ContentTable:
    """All columns but the ids as attributes; texts are read as those of the items are, codes of digits and types stay.

    Args:
        frame: the users' table.
        key: the column of ids.
    """
    out = ContentTable(frame, {}, hinted=False)
    for column in frame.columns:
        if column == key:
            continue
        if frame[column].dtype != pl.String:
            out.kinds[column] = "attributes"
            continue
        guess = guess_column(frame[column])
        if guess.kind is None:
            out.note("column_unused", f"is carried but not used: {guess.reason}", column)
            continue
        code = frame[column].str.contains(_DIGITS).fill_null(True).all()
        read_attribute(out, column, guess.form if guess.kind == "attributes" and not code else "category")
    return out
