"""Cleaning of shop texts: HTML to text, lists to text, prices to numbers."""

from __future__ import annotations

import re
from typing import Any

from palate.data.html_text import strip_html

_SPACE = re.compile(r"\s+")
_FREE = re.compile(r"\s*free\b(?!.*\d)", re.IGNORECASE)
_PRICE = re.compile(r"\d[\d,]*(?:\.\d+)?")


def plain_text(value: Any) -> str | None:
    """Text without markup, with entities resolved and white space folded; None if nothing is left.

    Args:
        value: text, a list (its entries are joined), or None.
    """
    if isinstance(value, list):
        value = " ".join(part for part in (plain_text(entry) for entry in value) if part)
    if value is None:
        return None
    return _SPACE.sub(" ", strip_html(str(value))).strip() or None


def price(value: Any) -> float | None:
    """A price as a number, such as 1299.0 of ``$1,299.00``; of a range the first, 0 if it is free, else None.

    Args:
        value: text or a number.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if 0 <= float(value) < float("inf") else None
    if _FREE.match(str(value)):
        return 0.0
    match = _PRICE.search(str(value))
    return float(match[0].replace(",", "")) if match and len(str(value)) < 40 else None


def words(value: Any) -> list[str] | None:
    """A list of non-empty texts; None if there is none.

    Args:
        value: a list, or a single value.
    """
    entries = value if isinstance(value, list) else [value]
    texts = [text for text in (plain_text(entry) for entry in entries) if text]
    return texts or None
