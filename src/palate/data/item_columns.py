"""Columns of the items' table as content: texts without HTML, prices as numbers, lists as lists, media as paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from palate.data.column_kinds import ABSENT, ColumnGuess, guess_column
from palate.data.html_text import clean_texts
from palate.data.issues import DataIssue, Severity
from palate.data.media_values import media_column
from palate.data.numbers_in_text import number_column
from palate.data.text_values import literal_column

MEDIA = ("image", "audio", "video")
FORMS = ("number", "category", "list")
"""What palate.yaml may say of a column beside its kind: how the values of an attribute are read."""
NEARLY_DISTINCT = 0.95
LISTED = 20


@dataclass
class ItemColumns:
    """The items' table with its columns as content.

    Attributes:
        frame: the table.
        kinds: column -> kind.
        decimals: column of numbers that were written as text -> its decimal sign.
        issues: what was changed, is absent or is not used.
    """

    frame: pl.DataFrame
    kinds: dict[str, str]
    decimals: dict[str, str] = field(default_factory=dict)
    issues: list[DataIssue] = field(default_factory=list)

    def note(
        self, code: str, message: str, column: str, rows: pl.Series | None = None, severity: Severity = "note",
        hint: str | None = None,
    ) -> None:  # fmt: skip
        """Add an issue of a column.

        Args:
            code: of the issue.
            message: what happened, in words that follow the name of the column.
            column: its name.
            rows: bool [n], the rows that it is about.
            severity: of the issue.
            hint: what to do.
        """
        at = [] if rows is None else rows.arg_true().to_list()
        first = tuple(row + 1 for row in at[:LISTED])
        self.issues.append(DataIssue(code, severity, message, None, first, column, None, max(len(at), 1), hint))


def read_item_columns(frame: pl.DataFrame, guesses: Mapping[str, ColumnGuess]) -> ItemColumns:
    """Read the columns of a table as what they were taken for.

    Args:
        frame: the items' table.
        guesses: column -> what it is taken for, given or guessed; columns left out are carried as they are.
    """
    out = ItemColumns(frame, {})
    for column, guess in guesses.items():
        if guess.kind is None:
            out.note("column_unused", f"is carried but not used: {guess.reason}", column)
        elif guess.kind in MEDIA:
            _read_media(out, column, guess.kind)
        elif guess.kind == "text":
            out.kinds[column] = "text"
            _read_text(out, column)
        else:
            _read_attribute(out, column, guess.form)
    return out


def conform(values: pl.Series, dtype: pl.DataType, kind: str | None, decimal: str | None) -> pl.Series:
    """A column of new items, read as that of the catalogue was; what cannot be is left for the caller to refuse.

    Args:
        values: the new column.
        dtype: of the catalogue's column.
        kind: of the catalogue's column.
        decimal: the decimal sign of the catalogue's column, where its numbers were written as text.
    """
    if kind in MEDIA:
        return media_column(values, kind).values
    if values.dtype != pl.String:
        return values.cast(pl.String) if dtype == pl.String and values.dtype.is_integer() else values
    if kind == "text":
        return clean_texts(values)[0]
    if kind == "attributes" and dtype.is_float():
        read = number_column(_without_absent(values), decimal, share=1.0)
        return values if read is None else read.values
    if kind == "attributes" and isinstance(dtype, pl.List):
        found = literal_column(values)
        return values if found is None else found[0]
    return clean_texts(values)[0] if kind == "attributes" else values


def absent_media(frame: pl.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    """A sentence for each media column of new items that holds addresses instead of files.

    Args:
        frame: rows of the items.
        kinds: column -> kind.
    """
    out = []
    for column, kind in kinds.items():
        if kind in MEDIA and column in frame.columns:
            rows = media_column(frame[column], kind).address.arg_true().to_list()
            if rows:
                first = str(frame[column][rows[0]])[:200]
                of = f"{len(rows)} item{'s' * (len(rows) > 1)}"
                out.append(f"{kind} of {of} is absent: row {rows[0] + 1} of {column} is an address, {first}")
    return out


def _read_media(out: ItemColumns, column: str, kind: str) -> None:
    read = media_column(out.frame[column], kind)
    total = int((read.values.is_not_null() | read.address).sum())
    many = {"image": "pictures", "audio": "sounds", "video": "videos"}[kind]
    if read.address.any():
        count = int(read.address.sum())
        message = f"holds addresses ({count} of {total}): they are not fetched, these {many} are absent"
        hint = "download the files beside the table and give their paths"
        out.note("media_url", message, column, read.address, "warning", hint)
    if read.not_read.any():
        count = int(read.not_read.sum())
        message = f"names {many} in formats that are not read ({count} of {total}); they are absent"
        hint = "convert them to JPEG or PNG" if kind == "image" else "convert them to WAV, FLAC or MP4"
        out.note("media_format", message, column, read.not_read, "warning", hint)
    if read.several.any():
        out.note("media_several", f"names several {many} in one row; the first is used", column, read.several)
    out.frame = out.frame.with_columns(read.values.alias(column))
    if read.usable.any():
        out.kinds[column] = kind
    else:
        out.note("column_unused", f"is carried but not used: it names no {kind} that can be read", column)


def _read_text(out: ItemColumns, column: str) -> None:
    values = out.frame[column]
    if values.dtype != pl.String:
        return
    cleaned, marked = clean_texts(values)
    if marked.any():
        out.frame = out.frame.with_columns(cleaned)
        out.note("html_removed", "HTML was removed", column, marked)


def _read_attribute(out: ItemColumns, column: str, form: str) -> None:
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
    elif dtype == pl.String and form in ("", "list") and (found := literal_column(_without_absent(values))):
        out.frame = out.frame.with_columns(found[0].alias(column))
        out.note("list_in_text", "texts of lists are read as lists", column)
        if found[1].any():
            out.note("value_unread", "no list; the value is absent", column, found[1], "warning")
        _read_attribute(out, column, "")
        return
    elif dtype == pl.String and form in ("", "number"):
        _read_number(out, column, forced=form == "number")
    out.kinds[column] = "attributes"
    _finish_attribute(out, column)


def _read_number(out: ItemColumns, column: str, forced: bool) -> None:
    values = _without_absent(out.frame[column])
    read = number_column(values, share=0.5 if forced else 0.9)
    if read is None:
        return
    out.frame = out.frame.with_columns(read.values.alias(column))
    out.decimals[column] = read.decimal
    sign = {".": "point", ",": "comma"}[read.decimal]
    out.note(
        "number_in_text", f"texts are read as numbers (decimal {sign})", column, hint="else: items: {category: ...}"
    )
    if read.ambiguous:
        message = f"no value shows whether a separator groups thousands; a {sign} is taken to be the decimal sign"
        out.note("number_ambiguous", message, column, severity="warning")
    if read.unread.any():
        message = "not a number, or one that could be read in two ways; the value is absent"
        out.note("value_unread", message, column, read.unread, "warning")


def _read_struct(out: ItemColumns, column: str) -> None:
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
        elif guess.kind in MEDIA or guess.kind == "text":
            out.kinds[name] = "attributes"
            _finish_attribute(out, name)
        else:
            _read_attribute(out, name, guess.form)


def _read_lists(out: ItemColumns, column: str) -> None:
    lists = out.frame[column]
    inner = lists.dtype.inner  # type: ignore[attr-defined]
    if not isinstance(inner, pl.Struct):
        out.kinds[column] = "attributes"
        return
    lists = lists.cast(pl.List(inner))
    fields = {f"{column}.{one.name}": lists.list.eval(pl.element().struct.field(one.name)) for one in inner.fields}
    flat = {name: values.alias(name) for name, values in fields.items() if not values.dtype.inner.is_nested()}  # type: ignore[attr-defined]
    out.frame = out.frame.drop(column).with_columns(flat.values())
    out.kinds |= dict.fromkeys(flat, "attributes")
    out.note("struct_fields", f"one attribute for each of its fields: {', '.join(flat) or 'none'}", column)


def _finish_attribute(out: ItemColumns, column: str) -> None:
    values = out.frame[column]
    if values.dtype != pl.String:
        return
    cleaned, marked = clean_texts(values)
    if marked.any():
        out.frame, values = out.frame.with_columns(cleaned), cleaned
        out.note("html_removed", "HTML was removed", column, marked)
    present = values.drop_nulls()
    if len(present) >= LISTED and present.n_unique() > NEARLY_DISTINCT * len(present):
        message = f"{present.n_unique()} different values of {len(present)} say little as an attribute"
        out.note("attribute_distinct", message, column, hint="text, if it is one: items: {text: ...}")


def _without_absent(values: pl.Series) -> pl.Series:
    trimmed = values.str.strip_chars()
    return trimmed.set(trimmed.str.to_lowercase().is_in(list(ABSENT)).fill_null(False), None)


def issue_notes(issues: list[DataIssue], table: str, file: str | None) -> Iterator[tuple[str, DataIssue]]:
    """Each issue with its file, and the same as one line.

    Args:
        issues: of one table.
        table: ``items`` or ``interactions``.
        file: the file it was read from.
    """
    from dataclasses import replace

    for issue in issues:
        rows = f" (row {', '.join(map(str, issue.rows[:3]))}{' ...' if issue.count > 3 else ''})" if issue.rows else ""
        of = f"{issue.column}: " if issue.column else ""
        yield f"{table}: {of}{issue.message}{rows}", replace(issue, file=file)
