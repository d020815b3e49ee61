"""Columns of the items' table as content: texts without HTML, attributes, media as paths."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from palate.data.attribute_columns import read_attribute
from palate.data.column_kinds import ColumnGuess
from palate.data.column_names import media_kind_of_name
from palate.data.content_table import ContentTable
from palate.data.media_values import MEDIA, media_column

_PATHS = 0.5
FORMS = ("number", "category", "list")
"""What palate.yaml may say of a column beside its kind: how the values of an attribute are read."""


def read_item_columns(frame: pl.DataFrame, guesses: Mapping[str, ColumnGuess]) -> ContentTable:
    """Read the columns of a table as what they were taken for.

    Args:
        frame: the items' table.
        guesses: column -> what it is taken for, given or guessed; columns left out are carried as they are.
    """
    out = ContentTable(frame, {})
    for column, guess in guesses.items():
        if guess.kind is None:
            out.note("column_unused", f"is carried but not used: {guess.reason}", column)
        elif guess.kind in MEDIA:
            _read_media(out, column, guess.kind)
        elif guess.kind == "text":
            out.kinds[column] = "text"
            out.remove_html(column)
        else:
            _note_media_name(out, column)
            read_attribute(out, column, guess.form)
    return out


def _note_media_name(out: ContentTable, column: str) -> None:
    """Say that a column is no medium although its name speaks of one and its values look like paths."""
    kind, values = media_kind_of_name(column), out.frame[column]
    if kind is None or values.dtype != pl.String:
        return
    paths = values.drop_nulls().str.contains(r"^[^\s/\\]+[/\\][^\s/\\]+$")
    if len(paths) and float(paths.mean() or 0.0) >= _PATHS:  # type: ignore[arg-type]
        message = f"looks like paths of {kind} without an ending, and is read as categories"
        out.note(
            "media_named", message, column, severity="warning", hint="give the names of files, with .jpg or the like"
        )


def _read_media(out: ContentTable, column: str, kind: str) -> None:
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
