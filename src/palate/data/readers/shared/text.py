"""Cleaning of shop texts: HTML to text, lists to text, prices to numbers."""

from __future__ import annotations

import html
import re
from typing import Any

_BLOCK = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,2000}>")
_SPACE = re.compile(r"\s+")
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
    text = html.unescape(_TAG.sub(" ", _BLOCK.sub(" ", str(value))))
    return _SPACE.sub(" ", text).strip() or None


def price(value: Any) -> float | None:
    """A price as a number, such as 1299.0 of ``$1,299.00``; of a range the first, None without a number.

    Args:
        value: text or a number.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if 0 <= float(value) < float("inf") else None
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
