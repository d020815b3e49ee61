"""Values of a catalogue as people read them; nothing is known of a column but its name, its type and its values."""

from __future__ import annotations

import datetime
import math
from typing import Any

from palate.serving.snapshot_stats import TIMES

PRICES = ("price", "cost", "amount")
YEAR_END = 10_000
SINCE = 1e8
"""Whole numbers above this in a column that says when are taken for seconds since 1970."""


def label(column: str) -> str:
    """A column's name as a label."""
    words = column.replace("_", " ").strip()
    return words[:1].upper() + words[1:] or column


def looks_like_price(column: str) -> bool:
    """A guess by the name: it only decides where a number stands and how many decimals it has."""
    return column.lower().endswith(PRICES)


def number(value: float) -> str:
    """Thousands apart, decimals as few as there are; four digits in one, for they may be a year."""
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= YEAR_END else str(int(value))
    if abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:,.2f}"


def percent(share: float) -> str:
    """A share of 1."""
    return f"{100 * share:.0f} %" if math.isfinite(share) else "–"


def shown(column: str, value: Any) -> str | None:
    """A cell as text; None for nothing."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if column.lower() in TIMES and SINCE < value < 1e11:
            return datetime.datetime.fromtimestamp(value, datetime.UTC).strftime("%-d %B %Y")
        return f"{value:,.2f}" if looks_like_price(column) else number(value)
    if isinstance(value, datetime.date):
        return value.strftime("%-d %B %Y")
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, (shown(column, part) for part in value))) or None
    return str(value).strip() or None
