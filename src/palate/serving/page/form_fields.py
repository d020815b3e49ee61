"""The form of an item, made from the columns of the catalogue; and what it sent, as the shop takes it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.serving.catalog_updates import editable_columns
from palate.serving.page.values import label
from palate.serving.snapshot import ModelSnapshot

NAME, OFFERED, LONG = "field.", 40, 48
"""Before a column's name in a form; values that are offered at most; characters from which a text gets more room."""


@dataclass(frozen=True)
class Blank:
    """A column to fill. kind: ``text``, ``long``, ``number``, ``date`` or ``choice``. offered: what others have."""

    column: str
    kind: str
    value: str = ""
    offered: tuple[str, ...] = ()
    whole: bool = False

    @property
    def label(self) -> str:
        """Its name for people."""
        return label(self.column)

    @property
    def name(self) -> str:
        """Its name in the form."""
        return NAME + self.column


def blanks(
    snapshot: ModelSnapshot, row: int = -1, sent: Mapping[str, str] | None = None
) -> tuple[list[Blank], list[Blank]]:
    """What to fill: columns that models read, the title first, and the others; as in ``row``, or as they were sent."""
    items = snapshot.items
    main, other = list[Blank](), list[Blank]()
    for column in editable_columns(items):
        value = "" if row < 0 else _text(items.frame[column][row])
        if sent is not None:
            value = sent.get(NAME + column, value)
        (main if column in items.kinds else other).append(_blank(snapshot, column, value))
    main.sort(key=lambda blank: (blank.column.lower() not in ("title", "name"), items.kinds[blank.column] != "text"))
    return main, other


def filled(snapshot: ModelSnapshot, sent: Mapping[str, str], anew: bool) -> dict[str, Any]:
    """Column -> value of a form. What is empty is left out of a new item, and taken out of one that is there.

    Raises:
        DataError: for what is no number where one belongs, naming the column.
    """
    out: dict[str, Any] = {}
    for column in editable_columns(snapshot.items):
        if NAME + column in sent:
            text = sent[NAME + column].strip()
            if text or not anew:
                out[column] = _value(column, snapshot.items.frame.schema[column], text) if text else None
    return out


def new_id(snapshot: ModelSnapshot, title: str) -> str:
    """An id for an item that was given none: a number after the last where ids are numbers, else after its title."""
    ids = snapshot.items.ids.ids
    if ids.dtype.is_integer():
        return str(max(int(name) for name in snapshot.rows) + 1)
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "item"
    return f"{stem}-{token_hex(3)}"


def _blank(snapshot: ModelSnapshot, column: str, value: str) -> Blank:
    dtype = snapshot.items.frame.schema[column]
    if dtype == pl.Boolean:
        return Blank(column, "choice", value, ("yes", "no"))
    if dtype.is_numeric():
        return Blank(column, "number", value, whole=dtype.is_integer())
    if dtype == pl.Date:
        return Blank(column, "date", value)
    offered: tuple[str, ...] = ()
    if column in snapshot.stats.filters.values and len(snapshot.stats.filters.values[column]) <= OFFERED:
        offered = tuple(sorted(snapshot.stats.filters.values[column]))
    series = snapshot.items.frame[column]
    length = series.str.len_chars().mean() if dtype == pl.String else 0
    return Blank(column, "long" if isinstance(length, float) and length > LONG else "text", value, offered)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _value(column: str, dtype: pl.DataType, text: str) -> Any:
    if dtype == pl.Boolean:
        return text == "yes"
    if isinstance(dtype, pl.List):
        return [part.strip() for part in text.split(",") if part.strip()]
    if not dtype.is_numeric():
        return text
    try:
        return int(text) if dtype.is_integer() else float(text.replace(",", "."))
    except ValueError as error:
        raise DataError(f"{text!r} is no {'whole ' if dtype.is_integer() else ''}number", column=column) from error
