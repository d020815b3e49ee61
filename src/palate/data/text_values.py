"""Lists and mappings written as text, in Python or JSON spelling."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

import polars as pl

MAX_CHARS = 100_000
SHARE = 0.9
_NUMPY = re.compile(r"(?<=['\"])\s+(?=['\"])")


def parse_literal(text: str) -> list[Any] | dict[str, Any] | None:
    """A list or mapping from its text; None for any other text. Nothing is executed.

    Args:
        text: such as ``['a', 'b']``, ``["a", "b"]``, ``('a',)`` or ``{"colour": "red"}``.
    """
    text = text.strip()
    if len(text) < 2 or len(text) > MAX_CHARS or text[0] + text[-1] not in ("[]", "()", "{}"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(_NUMPY.sub(", ", text))
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
    if isinstance(value, (tuple, set, frozenset)):
        value = sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)
    return value if isinstance(value, (list, dict)) else None


def literal_column(values: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """A text column as lists or structs, and bool [n] of the values that are neither.

    Args:
        values: text; absent values are null.

    Returns:
        Lists of text (of a mapping inside a list its ``name``, else its values), or a struct; None unless nearly all
        values are of one of these kinds.
    """
    sample = values.drop_nulls().head(200)
    if not len(sample) or not sample.str.contains(r"^\s*[\[({]").any():
        return None
    if sum(parse_literal(value) is not None for value in sample) < SHARE * len(sample):
        return None
    parsed = {text: parse_literal(text) for text in values.drop_nulls().unique().to_list()}
    lists = {text: value for text, value in parsed.items() if isinstance(value, list)}
    mappings = {text: value for text, value in parsed.items() if isinstance(value, dict)}
    as_lists = len(lists) >= len(mappings)
    read = pl.Series([*(lists if as_lists else mappings)], dtype=pl.String)
    known = values.is_in(read.implode()).fill_null(False)
    if known.sum() < SHARE * (len(values) - values.null_count()):
        return None
    unread = values.is_not_null() & ~known
    if as_lists:
        texts = [None if (row := lists.get(text or "")) is None else _entries(row) for text in values.to_list()]
        return pl.Series(values.name, texts, dtype=pl.List(pl.String)), unread
    rows = [mappings.get(text or "") for text in values.to_list()]
    keys = list(dict.fromkeys(str(key) for row in mappings.values() for key in row))
    fields = {key: [None if row is None else _field(row.get(key)) for row in rows] for key in keys}
    columns = [pl.Series(key, column, strict=False) for key, column in fields.items()]
    return (pl.DataFrame(columns).to_struct(values.name), unread) if columns else None


def _entries(row: list[Any]) -> list[str]:
    return [text for one in row if (text := _entry(one))]


def _entry(value: Any) -> str | None:
    if isinstance(value, Mapping):
        named = [value[key] for key in ("name", "title", "label", "value") if value.get(key)]
        return str(named[0]) if named else ", ".join(str(one) for one in value.values() if one is not None) or None
    if isinstance(value, list):
        return " > ".join(str(one) for one in value if one is not None) or None
    return None if value is None else str(value).strip() or None


def _field(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return _entries(list(value))
    return value
