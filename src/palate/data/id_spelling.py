"""Spelling of ids: text until all tables are read, then whole numbers if every value of every table is one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from palate.core.errors import DataError, did_you_mean
from palate.data.invisible import trim, trim_texts

IdType = Literal["text", "integer"]
EXACT = 2.0**53
"""From here on a float no longer tells every whole number from its neighbours."""
_DECIMAL = r"^-?(0|[1-9]\d*)\.0+$"
SHORTENED = r"^\d[.,]\d+[eE]\+\d{2,}$"
"""A long number as spreadsheets shorten it: its last digits are lost."""
_ENTITIES = {"items": "item", "users": "user", "queries": "query"}


@dataclass(frozen=True)
class IdColumn:
    """A column of ids, and the place it comes from.

    Attributes:
        values: the ids, spelled as in the file or typed exactly; null where absent.
        table: name of the table, for notes.
        file: where it was read from, for error messages.
        typed: whether the type is the table's own; a file of text says nothing of types.
    """

    values: pl.Series
    table: str = ""
    file: str | None = None
    typed: bool = True

    @property
    def is_text(self) -> bool:
        """Whether the table itself says that its ids are text."""
        return self.typed and self.values.dtype == pl.String and self.values.null_count() < len(self.values)


def parse_id_types(wish: Any) -> dict[str, IdType]:
    """The type of ids that is asked for, by entity (``item``, ``user``, ``query``).

    Args:
        wish: None, ``text`` or ``integer`` for all entities, or a mapping such as ``{item: text, user: integer}``.

    Raises:
        DataError: for another value or an unknown entity.
    """
    if wish is None:
        return {}
    given = wish if isinstance(wish, Mapping) else dict.fromkeys(_ENTITIES.values(), wish)
    types: dict[str, IdType] = {}
    for key, value in given.items():
        entity = _ENTITIES.get(str(key), str(key))
        if entity not in _ENTITIES.values():
            raise DataError("unknown kind of id", key=key, hint=did_you_mean(str(key), _ENTITIES))
        if value not in get_args(IdType):
            raise DataError(f"ids cannot be {value!r}", key="ids", hint="write text or integer")
        types[entity] = value
    return types


def spell(value: Any) -> str | None:
    """One id as text: NFC, without spaces and zero-width characters around it; None for what cannot be an id.

    Args:
        value: text, a whole number, or any other value that is written as text.
    """
    if value is None or isinstance(value, (bool, np.bool_, bytes)):
        return None
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < EXACT else None
    return trim(unicodedata.normalize("NFC", str(value))) or None


def spelled(column: IdColumn, entity: str) -> tuple[pl.Series, int]:
    """A column of ids as text in NFC, without spaces and zero-width characters around it.

    Args:
        column: the ids.
        entity: the noun for error messages.

    Returns:
        The text, null where there is no id; and how many ids had outer spaces.

    Raises:
        DataError: naming the row of a float that is not whole or may have lost digits; for ids of a type that no table
            of text could hold.
    """
    values, name = column.values, column.values.name
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Boolean):
        hint = "use text or integers" + (": one row for each id, no lists" if values.dtype.is_nested() else "")
        raise DataError(f"{entity} ids cannot be {values.dtype}", file=column.file, column=name or None, hint=hint)
    if values.dtype == pl.Object:
        values = pl.Series(name, [None if value is None else str(value) for value in values.to_list()], pl.String)
    if values.dtype.is_float():
        values = _whole_floats(values, entity, column.file)
    if values.dtype.is_decimal():
        values = values.cast(pl.String).str.replace(r"\.0+$", "")
    text = values.cast(pl.String)
    if values.dtype.is_integer():
        return text, 0
    trimmed = trim_texts(text)
    n_trimmed = int((trimmed != text).sum())
    if (trimmed.str.len_bytes() != trimmed.str.len_chars()).any():
        trimmed = trimmed.str.normalize("NFC")
    return trimmed.set((trimmed == "").fill_null(False), None), n_trimmed


def whole_numbers(text: pl.Series) -> pl.Series:
    """Ids as int64; null where an id is not the usual spelling of a whole number below 2**63.

    Args:
        text: ids as text.
    """
    numbers = text.cast(pl.Int64, strict=False)
    return numbers.set((numbers.cast(pl.String) != text).fill_null(False), None)


def unify(
    columns: Sequence[IdColumn], entity: str, wish: IdType | None = None
) -> tuple[list[pl.Series], tuple[str, ...]]:
    """All columns of ids of one entity in one type.

    Args:
        columns: the ids of each table.
        entity: the noun for error messages and notes.
        wish: the type that is asked for; by default int64 if no table has a column of type text, and every id of every
            table is its own usual spelling of a whole number (no leading zero, sign, exponent or fraction), else text.

    Returns:
        The columns as int64 or text, and notes on what was changed.

    Raises:
        DataError: naming file and row of an id that cannot be read, or is not a whole number although ``integer`` is
            asked for.
    """
    if wish is None and all(column.values.dtype == pl.Int64 for column in columns):
        return [column.values for column in columns], ()
    texts, notes = [], []
    for column in columns:
        text, n_trimmed = spelled(column, entity)
        texts.append(text)
        if n_trimmed:
            notes.append(
                f"{column.table}: {n_trimmed:,} {entity} ids without the spaces around them".removeprefix(": ")
            )
    if wish == "text" or (wish is None and any(column.is_text for column in columns)):
        return texts, tuple(notes)
    if wish == "integer":
        return [_integers(text, column, entity) for text, column in zip(texts, columns)], tuple(notes)
    plain = [_without_fraction(text) for text in texts]
    numbers = [whole_numbers(text) for text in plain]
    if any(one.null_count() > text.null_count() for one, text in zip(numbers, texts)):
        return texts, tuple(notes)
    decimal = [column.table for text, one, column in zip(texts, plain, columns) if not text.equals(one)]
    filled = sum(text.null_count() < len(text) for text in texts)
    if len(decimal) == filled and decimal:
        return texts, tuple(notes)
    notes += [f"{table}: {entity} ids such as 12.0 are read as 12, as other tables spell them" for table in decimal]
    return (numbers if filled else texts), tuple(notes)


def _without_fraction(text: pl.Series) -> pl.Series:
    """Ids without ``.0`` if all of them have it, as a column with gaps of a data frame writes whole numbers."""
    present = text.drop_nulls()
    if (
        not len(present)
        or not present.head(100).str.contains(_DECIMAL).all()
        or not present.str.contains(_DECIMAL).all()
    ):
        return text
    if (present.cast(pl.Float64).abs() >= EXACT).any():
        return text
    return text.str.replace(r"\.0+$", "")


def _integers(text: pl.Series, column: IdColumn, entity: str) -> pl.Series:
    numbers = text.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    bad = (numbers.is_null() & text.is_not_null()).arg_true()
    if len(bad):
        at = int(bad[0])
        raise DataError(
            f"{entity} id {text[at]!r} is not a whole number",
            file=column.file,
            row=at + 1,
            column=column.values.name or None,
            hint="write ids: text in palate.yaml",
        )
    return numbers


def _whole_floats(values: pl.Series, entity: str, file: str | None) -> pl.Series:
    values = values.fill_nan(None)
    odd = ((values.floor() != values) | (values.abs() >= EXACT)).fill_null(False).arg_true()
    if len(odd):
        at = int(odd[0])
        large = abs(values[at]) >= EXACT
        raise DataError(
            f"{entity} id {values[at]!r} " + ("may have lost digits in a float" if large else "is not a whole number"),
            file=file,
            row=at + 1,
            column=values.name or None,
            hint="store ids as text or integers",
        )
    return values.cast(pl.Int64)
