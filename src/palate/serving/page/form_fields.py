"""The form of an item: fields made from the columns of the catalogue, and values parsed from what was submitted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Literal

import polars as pl

from palate.core.errors import DataError
from palate.serving.catalog_updates import editable_columns
from palate.serving.page.values import column_label, parse_written_number
from palate.serving.snapshot import ModelSnapshot

PREFIX = "field."
"""Stands before the name of a column in a form."""
MAX_SUGGESTIONS, LONG_TEXT = 40, 48
"""Most values that a field suggests; mean length in characters from which a column gets a text area."""
FieldKind = Literal["text", "long", "number", "date", "choice"]
FieldValue = str | bool | int | float | list[str] | None


@dataclass(frozen=True)
class FormField:
    """A field of the form.

    Attributes:
        column: column of the catalogue.
        kind: kind of input.
        value: its present value as text.
        suggestions: values of other items, or the choices.
        integer: whether a number must be an integer.
        error: what is wrong with the value.
    """

    column: str
    kind: FieldKind
    value: str = ""
    suggestions: tuple[str, ...] = ()
    integer: bool = False
    error: str = ""

    @property
    def label(self) -> str:
        """Label of the field."""
        return column_label(self.column)

    @property
    def name(self) -> str:
        """Name of the field in the form."""
        return PREFIX + self.column


def form_fields(
    snapshot: ModelSnapshot,
    row: int = -1,
    submitted: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> tuple[list[FormField], list[FormField]]:
    """Fields of the columns that models read, the title first; and those of the other columns.

    Args:
        snapshot: the catalogue.
        row: row of the item to edit, -1 for a new one.
        submitted: values by name that replace those of the item.
        errors: column -> what is wrong with the submitted value.
    """
    items = snapshot.items
    main, other = list[FormField](), list[FormField]()
    for column in editable_columns(items):
        value = "" if row < 0 else _text(items.frame[column][row])
        if submitted is not None:
            value = submitted.get(PREFIX + column, value)
        field = replace(_field(snapshot, column, value), error=(errors or {}).get(column, ""))
        (main if column in items.kinds else other).append(field)
    main.sort(key=lambda field: (field.column.lower() not in ("title", "name"), items.kinds[field.column] != "text"))
    return main, other


def parse_fields(
    snapshot: ModelSnapshot, submitted: Mapping[str, str], is_new: bool
) -> tuple[dict[str, FieldValue], dict[str, str]]:
    """Values by column, and what is wrong by column.

    An empty field is left out of a new item, and deletes the value of an existing one.

    Args:
        snapshot: the catalogue.
        submitted: values by name.
        is_new: whether the item is new.
    """
    values, errors = dict[str, FieldValue](), dict[str, str]()
    for column in editable_columns(snapshot.items):
        if PREFIX + column in submitted:
            text = submitted[PREFIX + column].strip()
            if text or not is_new:
                try:
                    values[column] = _parse(snapshot.items.frame.schema[column], text) if text else None
                except DataError as error:
                    errors[column] = error.message
    return values, errors


def new_item_id(snapshot: ModelSnapshot, title: str) -> str:
    """An id for a new item: the next number where ids are numbers, else made from the title.

    Args:
        snapshot: the catalogue.
        title: title of the item.
    """
    ids = snapshot.items.ids.ids
    if ids.dtype.is_integer():
        return str(max(int(name) for name in snapshot.rows) + 1)
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", ascii_title).strip("-")[:40].strip("-") or "item"
    return f"{stem}-{token_hex(3)}"


def _field(snapshot: ModelSnapshot, column: str, value: str) -> FormField:
    dtype = snapshot.items.frame.schema[column]
    if dtype == pl.Boolean:
        return FormField(column, "choice", value, ("yes", "no"))
    if dtype.is_numeric():
        return FormField(column, "number", value, integer=dtype.is_integer())
    if dtype == pl.Date:
        return FormField(column, "date", value)
    suggestions: tuple[str, ...] = ()
    if column in snapshot.stats.filters.values and len(snapshot.stats.filters.values[column]) <= MAX_SUGGESTIONS:
        suggestions = tuple(sorted(snapshot.stats.filters.values[column]))
    series = snapshot.items.frame[column]
    length = series.str.len_chars().mean() if dtype == pl.String else 0
    return FormField(column, "long" if isinstance(length, float) and length > LONG_TEXT else "text", value, suggestions)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _parse(dtype: pl.DataType, text: str) -> FieldValue:
    if dtype == pl.Boolean:
        return text == "yes"
    if isinstance(dtype, pl.List):
        return [part.strip() for part in text.split(",") if part.strip()]
    if not dtype.is_numeric():
        return text
    try:
        return int(text) if dtype.is_integer() else parse_written_number(text)
    except ValueError as error:
        raise DataError(f"{text!r} is not {'a whole number' if dtype.is_integer() else 'a number'}") from error
