"""Characters that show nothing at the ends of a value: spaces, zero-width characters, marks of direction."""

from __future__ import annotations

import re

import polars as pl

_ZERO_WIDTH = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_ENDS = rf"^[\s{_ZERO_WIDTH}]+|[\s{_ZERO_WIDTH}]+$"


def trim(text: str) -> str:
    """A text without what shows nothing at its ends.

    Args:
        text: a value, or the name of a column.
    """
    return text.strip() if text.isascii() else re.sub(_ENDS, "", text)


def trim_texts(values: pl.Series) -> pl.Series:
    """Texts without what shows nothing at their ends.

    Args:
        values: text.
    """
    trimmed = values.str.strip_chars()
    if (trimmed.str.len_bytes() == trimmed.str.len_chars()).all():
        return trimmed
    return trimmed.str.replace_all(_ENDS, "")
