"""Values of one attribute cell: a number, or the lower-case values of a list or of a text with separators."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from palate.data.html_text import strip_html
from palate.data.numbers_in_text import parse_number
from palate.data.text_values import parse_literal
from palate.features.encoders.text import clean_text

SEPARATORS = re.compile(r"\s*[,|;]\s*")
STRONG_SEPARATORS = re.compile(r"\s*[|;]\s*")


def attribute_values(value: Any) -> list[str] | float:
    """The value of one cell: a number, or lower-case values of a list or of a text.

    A text is split at ``|`` and ``;`` where it has one of them, else at commas; a list written as text is a list, and
    a price a number. Names such as "Smith, John" belong in a list, or need ``|`` or ``;`` between them.

    A whole number that no float holds exactly is a code, and so a text.

    Args:
        value: of the cell.

    Returns:
        A finite number, or values without repeats; no values where there is nothing.
    """
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, int) and abs(value) > 2**53:
        return [str(value)]
    if isinstance(value, int | float | np.number):
        number = float(value)
        return number if math.isfinite(number) else []
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        parts = [str(part) for part in value if part is not None]
        parts = sorted(parts) if isinstance(value, set | frozenset) else parts
        return _cleaned(parts)
    if value is None:
        return []
    text = strip_html(clean_text(str(value)) or "")
    listed = parse_literal(text)
    if isinstance(listed, list):
        return _cleaned([str(part) for part in listed if part is not None])
    price = parse_number(text)
    if price is not None and (price.currency or (price.decimal == "," and re.fullmatch(r"\d+,\d\d", text))):
        amount = price.value("," if price.decimal == "," else ".")
        return [] if amount is None else amount
    strong = STRONG_SEPARATORS.split(text)
    return _cleaned(strong if len(strong) > 1 else SEPARATORS.split(text))


def flat_attributes(record: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values of attributes; a mapping among them gives one attribute for each of its fields.

    Args:
        record: attributes by name.
    """
    for key, value in record.items():
        found = parse_literal(value) if isinstance(value, str) and value[:1] == "{" else value
        if isinstance(found, Mapping):
            yield from ((f"{key}.{name}", one) for name, one in flat_attributes(found))
        else:
            yield str(key), value


def written_values(cell: object) -> list[str]:
    """The values of an attribute cell as they are written, where they can be told apart in it.

    Args:
        cell: a list, or a text with separators.

    Returns:
        The values of :func:`.attribute_values` in the cell's own case; none for a number.
    """
    values = attribute_values(cell)
    if not isinstance(values, list):
        return []
    parts = [str(part).strip() for part in cell] if isinstance(cell, list | tuple) else [str(cell)]
    written, at, place = list[str](), 0, 0
    for value in values:
        while at < len(parts) and (place := _fold(parts[at]).find(value, place)) < 0:
            at, place = at + 1, 0
        if at == len(parts):
            return []
        written.append(parts[at][place : place + len(value)])
        place += len(value)
    return written


def _cleaned(parts: list[str]) -> list[str]:
    kept = [clean.strip().lower() for part in parts if (clean := clean_text(part)) is not None]
    return list(dict.fromkeys(kept))


def _fold(text: str) -> str:
    """Lower case, with as many characters as before."""
    return "".join(lower if len(lower := letter.lower()) == 1 else letter for letter in text)
