"""Values of a catalogue as text; a column is known only by its name, type and values."""

from __future__ import annotations

import datetime
import math
import re

from palate.serving.snapshot_stats import TIMES

PRICE_SUFFIXES = ("price", "cost", "amount")
MIN_GROUPED = 10_000
"""Integers from here on have thousands separators: smaller ones may be years."""
MIN_TIMESTAMP, MAX_TIMESTAMP = 1e8, 1e11
"""Numbers between these in a time column are seconds since 1970."""
MISSING = "–"


def column_label(column: str) -> str:
    """The name of a column as a label.

    Args:
        column: name of the column.
    """
    words = column.replace("_", " ").strip()
    return words[:1].upper() + words[1:] or column


def looks_like_price(column: str) -> bool:
    """Whether a column is a price by its name: this only decides position and decimals of the number.

    Args:
        column: name of the column.
    """
    return column.lower().endswith(PRICE_SUFFIXES)


def format_number(value: float) -> str:
    """A number with thousands separators and at most two decimals.

    Args:
        value: any number; a dash stands for one that is not finite.
    """
    if not math.isfinite(value):
        return MISSING
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= MIN_GROUPED else str(int(value))
    if abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:,.2f}"


def parse_written_number(text: str) -> float:
    """A number as people write it: ``12.5``, ``12,5``, ``1.940,34``, ``1,940.34``, also with a currency sign.

    Args:
        text: the number; of two kinds of separators the last is that of the decimals.

    Raises:
        ValueError: if it is none.
    """
    plain = re.sub(r"[\s\u00a0€$£¥']", "", text)
    if "," in plain and "." in plain:
        plain = plain.replace("." if plain.rindex(",") > plain.rindex(".") else ",", "")
    return float(plain.replace(",", "."))


def format_percent(share: float) -> str:
    """A share as a percentage.

    Args:
        share: 0 to 1.
    """
    return f"{100 * share:.0f} %" if math.isfinite(share) else MISSING


def format_value(column: str, value: object) -> str | None:
    """A cell as text; None for a missing value.

    Args:
        column: name of the column.
        value: the cell.
    """
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if column.lower() in TIMES and MIN_TIMESTAMP < value < MAX_TIMESTAMP:
            return datetime.datetime.fromtimestamp(value, datetime.UTC).strftime("%-d %B %Y")
        return f"{value:,.2f}" if looks_like_price(column) else format_number(value)
    if isinstance(value, datetime.date):
        return value.strftime("%-d %B %Y")
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, (format_value(column, part) for part in value))) or None
    return str(value).strip() or None
