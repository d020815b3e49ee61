"""Columns as attributes: prices as numbers, texts of lists as lists, structs as one attribute a field."""

from __future__ import annotations

import polars as pl

from palate.data.column_kinds import ABSENT, guess_column
from palate.data.column_names import is_measure_name
from palate.data.content_table import LISTED, ContentTable
from palate.data.media_values import ADDRESS, MEDIA
from palate.data.numbers_in_text import number_column
from palate.data.text_values import literal_column

NEARLY_DISTINCT = 0.95
_FIELD_OF_MEDIA = "is carried but not used: media inside other fields are not read; give them a column of their own"


def read_attribute(out: ContentTable, column: str, form: str) -> None:
    """Read a column as an attribute: numbers, lists, structs, dates and codes by their values, or as ``form`` says.

    Args:
        out: the table.
        column: its name.
        form: ``number``, ``category``, ``list``, or empty for what the values look like.
    """
    values = out.frame[column]
    dtype = values.dtype
    if isinstance(dtype, pl.Struct):
        _read_struct(out, column)
        return
    if dtype.is_nested():
        _read_lists(out, column)
        return
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        years = values.dt.year() + (values.dt.ordinal_day() - 1) / 366
        out.frame = out.frame.with_columns(years.cast(pl.Float64).alias(column))
        out.note("dates_as_years", "dates are read as years and parts of a year", column)
    elif form == "category" and dtype.is_numeric():
        whole = values.cast(pl.Int64, strict=False) if dtype.is_float() else values
        exact = not dtype.is_float() or (whole.cast(pl.Float64) == values).fill_null(True).all()
        out.frame = out.frame.with_columns((whole if exact else values).cast(pl.String).alias(column))
        out.note("codes", "whole numbers are read as categories", column, hint="to read numbers: items: {number: ...}")
    elif dtype == pl.String and form in ("", "list") and (found := literal_column(without_absent(values))):
        out.frame = out.frame.with_columns(found[0].alias(column))
        out.note("list_in_text", "texts of lists are read as lists", column)
        if found[1].any():
            out.note("value_unread", "no list; the value is absent", column, found[1], "warning")
        read_attribute(out, column, "")
        return
    elif dtype == pl.String and form in ("", "number"):
        _read_number(out, column, forced=form == "number")
    out.kinds[column] = "attributes"
    _finish_attribute(out, column)


def without_absent(values: pl.Series) -> pl.Series:
    """Texts without the words that mean "no value".

    Args:
        values: text.
    """
    trimmed = values.str.strip_chars()
    return trimmed.set(trimmed.str.to_lowercase().is_in(list(ABSENT)).fill_null(False), None)


def _read_number(out: ContentTable, column: str, forced: bool) -> None:
    values = without_absent(out.frame[column])
    read = number_column(values, share=0.5 if forced else 0.9)
    if read is None:
        if is_measure_name(column) and len(values) > values.null_count():
            hint = "write numbers only, or empty the cells of other values"
            out.note("number_as_category", "most values are no numbers; they are categories", column, hint=hint)
        return
    out.frame = out.frame.with_columns(read.values.alias(column))
    out.decimals[column] = read.decimal + read.unit
    names = {".": "point", ",": "comma"}
    sign, other = names[read.decimal], names["," if read.decimal == "." else "."]
    unit = f", in {read.unit}{', to which other units are converted' if read.converted else ''}" if read.unit else ""
    hint = "else: items: {category: ...}"
    out.note("number_in_text", f"texts are read as numbers (decimal {sign}{unit})", column, hint=hint)
    if read.ambiguous:
        message = (
            f"no value shows whether a separator groups thousands; a {sign} is taken to be the decimal sign, and a "
            f"{other} to group"
        )
        hint = f"write the numbers without separators of thousands, or {hint.removeprefix('else: ')}"
        out.note("number_ambiguous", message, column, severity="warning", hint=hint)
    if read.unread.any():
        message = "not a number, or one that could be read in two ways; the value is absent"
        out.note("value_unread", message, column, read.unread, "warning", "write a number, or empty the cell")


def _read_struct(out: ContentTable, column: str) -> None:
    """One column a field, nested ones too; the struct itself goes."""
    frame = out.frame[column].struct.unnest()
    fields = {f"{column}.{name}": frame[name].alias(f"{column}.{name}") for name in frame.columns}
    taken = [name for name in fields if name in out.frame.columns]
    if taken or not fields:
        out.note("column_unused", "is carried but not used: its fields have the names of other columns", column)
        return
    out.frame = out.frame.drop(column).with_columns(fields.values())
    out.note("struct_fields", f"one attribute for each of its fields: {', '.join(frame.columns)}", column)
    for name, values in fields.items():
        guess = guess_column(values, name.rpartition(".")[2])
        if guess.kind is None:
            out.note("column_unused", f"is carried but not used: {guess.reason}", name)
        elif guess.kind in MEDIA:
            out.note("column_unused", _FIELD_OF_MEDIA, name, severity="warning")
        elif guess.kind == "text":
            out.kinds[name] = "attributes"
            _finish_attribute(out, name)
        else:
            read_attribute(out, name, guess.form)


def _read_lists(out: ContentTable, column: str) -> None:
    lists = out.frame[column]
    inner = lists.dtype.inner  # type: ignore[attr-defined]
    if not isinstance(inner, pl.Struct):
        out.kinds[column] = "attributes"
        return
    lists = lists.cast(pl.List(inner))
    fields = {f"{column}.{one.name}": lists.list.eval(pl.element().struct.field(one.name)) for one in inner.fields}
    flat = {name: values.alias(name) for name, values in fields.items() if not values.dtype.inner.is_nested()}  # type: ignore[attr-defined]
    out.frame = out.frame.drop(column).with_columns(flat.values())
    for name, values in flat.items():
        texts = values.list.explode().drop_nulls() if values.dtype == pl.List(pl.String) else None
        if texts is not None and len(texts) and float(texts.str.contains(ADDRESS).mean() or 0.0) >= 0.9:  # type: ignore[arg-type]
            out.note("column_unused", "is carried but not used: it holds addresses, which are not read", name)
        elif guess_column(values, name.rpartition(".")[2]).kind in MEDIA:
            out.note("column_unused", _FIELD_OF_MEDIA, name, severity="warning")
        else:
            out.kinds[name] = "attributes"
    out.note("struct_fields", f"one attribute for each of its fields: {', '.join(flat) or 'none'}", column)


def _finish_attribute(out: ContentTable, column: str) -> None:
    out.remove_html(column)
    values = out.frame[column]
    present = values.drop_nulls()
    if values.dtype != pl.String or not out.hinted:
        return
    if len(present) >= LISTED and present.n_unique() > NEARLY_DISTINCT * len(present):
        message = f"{present.n_unique()} different values of {len(present)} say little as an attribute"
        out.note("attribute_distinct", message, column, hint="text, if it is one: items: {text: ...}")
