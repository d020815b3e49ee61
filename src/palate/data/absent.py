"""Words that databases and data frames write where there is no value, such as NULL, ``\\N`` and NaN."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

ABSENT = (
    "NULL", "null", "<null>", "(null)", "\\N", "NaN", "nan", "NAN", "NaT", "None", "NA", "<NA>", "N/A", "n/a",
    "#N/A", "#NA", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!",
)  # fmt: skip
"""Values that mean "no value" when they are all that a cell holds; white space around them does not count."""
_CODES = r"^[A-Z]{2}$"
_CODE_SHARE = 0.9
_MAX_NAMED = 4


def drop_absent(values: pl.Series, words: Collection[str] = ABSENT) -> tuple[pl.Series, dict[str, int]]:
    """A text column with null for blank cells and for words that mean "no value".

    ``NA`` stays where nine in ten of the other distinct values are codes of two capital letters: among countries it is
    Namibia.

    Args:
        values: the column; any other type than text is returned as it is.
        words: the words.

    Returns:
        The column, and how often each word was found; blank cells are not counted.
    """
    if values.dtype != pl.String:
        return values, {}
    text = values.str.strip_chars()
    blank = text == ""
    wanted = [word for word in words if word]
    found = text.filter(text.is_in(wanted)) if wanted else text.head(0)
    if "NA" in wanted and (found == "NA").any() and _holds_codes(text, wanted):
        wanted = [word for word in wanted if word != "NA"]
        found = found.filter(found != "NA")
    empty = blank | text.is_in(wanted) if len(found) else blank
    if not empty.any():
        return values, {}
    counts = dict(found.value_counts(sort=True).iter_rows())
    return values.set(empty.fill_null(False), None), counts


def absent_note(table: str, counts: Mapping[str, Mapping[str, int]]) -> str | None:
    """A sentence on the words that were read as absent; None if there are none.

    Args:
        table: name of the table.
        counts: column -> word -> number of cells.
    """
    parts = [
        f"{column} ({', '.join(f'{word} {n:,}' for word, n in list(found.items())[:_MAX_NAMED])})"
        for column, found in counts.items()
        if found
    ]
    if not parts:
        return None
    listed = ", ".join(parts[:_MAX_NAMED]) + (f" and {len(parts) - _MAX_NAMED} more" if len(parts) > _MAX_NAMED else "")
    return f"{table}: words for no value are read as absent in {listed}; 'absent: [...]' in palate.yaml lists others"


def _holds_codes(text: pl.Series, words: Collection[str]) -> bool:
    others = text.drop_nulls().unique()
    others = others.filter(~others.is_in(list(words)) & (others != ""))
    return len(others) >= 3 and float(others.str.contains(_CODES).mean()) >= _CODE_SHARE  # type: ignore[arg-type]
