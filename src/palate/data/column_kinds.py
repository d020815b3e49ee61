"""The kind of one item column, by its name and by the share of its values that look like something."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from palate.data.column_names import (
    ATTRIBUTE_NAMES,
    is_code_name,
    is_measure_name,
    is_text_name,
    media_kind_of_name,
    name_words,
    squash,
)
from palate.data.media_values import ADDRESS, MEDIA_ENDINGS, ending_pattern, known_endings
from palate.data.numbers_in_text import SHARE, number_column
from palate.data.text_values import literal_column
from palate.data.times import date_share

SAMPLE = 2000
NEARLY_ALL, FAIR = 0.9, 0.3
ABSENT = ("", "-", "n/a", "na", "null", "none", "nan", "\\n", "#n/a", "<na>", "nil")
"""Texts, in lower case, that count as no value where columns are judged."""
_COUNTED = {"size", "sizes", "season", "features"}
_NO_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_INDEX = ("", "index", "level0", "unnamed0", "rowid", "rownumber", "rownum", "rowno", "row", "id")


@dataclass(frozen=True)
class ColumnGuess:
    """What a column is taken for.

    Attributes:
        kind: a kind of ``COLUMN_KINDS``, None for a column that is carried but not used.
        form: what its values are read as: ``number``, ``category``, ``list``, ``date``, or empty for as they are.
        reason: why a column is not used.
    """

    kind: str | None
    form: str = ""
    reason: str = ""


def guess_column(values: pl.Series, name: str | None = None) -> ColumnGuess:
    """The kind of one item column.

    A name of texts, media, codes or categories decides where the values allow it; else the share of values does. A
    single odd value never does.

    Args:
        values: the column.
        name: of the column; that of ``values`` by default.
    """
    name = values.name if name is None else name
    dtype = values.dtype
    if dtype == pl.Null or values.null_count() == len(values):
        return ColumnGuess(None, reason="it is empty")
    if dtype.is_numeric():
        return _numeric(values, name)
    if dtype == pl.Boolean:
        return ColumnGuess("attributes")
    if dtype.is_temporal():
        return ColumnGuess(None, "date", "dates and times are not encoded")
    if dtype == pl.Binary:
        return ColumnGuess(media_kind_of_name(name) or "image")
    if isinstance(dtype, pl.Struct):
        holds_bytes = any(field.name == "bytes" and field.dtype == pl.Binary for field in dtype.fields)
        return ColumnGuess((media_kind_of_name(name) or "image") if holds_bytes else "attributes")
    if isinstance(dtype, (pl.List, pl.Array)):
        return _list(values, name)
    return _text(values, name) if dtype == pl.String else ColumnGuess(None, reason=f"{dtype} is not content")


def present_texts(values: pl.Series, limit: int | None = SAMPLE) -> pl.Series:
    """The trimmed texts of a column without nulls and words for nothing, evenly taken where there are too many.

    Args:
        values: text.
        limit: how many at most.
    """
    texts = values.drop_nulls().str.strip_chars()
    texts = texts.filter(~texts.str.to_lowercase().is_in(list(ABSENT)))
    return texts if limit is None or len(texts) <= limit else texts.gather_every(-(-len(texts) // limit))


def _numeric(values: pl.Series, name: str) -> ColumnGuess:
    if squash(name) in _INDEX or (squash(name).startswith("unnamed") and values.dtype.is_integer()):
        steps = values.cast(pl.Float64).diff().drop_nulls()
        if not values.null_count() and float(values[0]) in (0.0, 1.0) and bool((steps == 1).all()):
            return ColumnGuess(None, reason="it counts the rows")
    words = set(name_words(name))
    category = is_code_name(name) or bool(words & (ATTRIBUTE_NAMES - _COUNTED))
    whole = values.dtype.is_integer() or bool((values.floor() == values).fill_null(True).all())
    return ColumnGuess("attributes", "category" if category and whole else "")


def _list(values: pl.Series, name: str) -> ColumnGuess:
    inner = values.dtype.inner  # type: ignore[attr-defined]
    if inner == pl.String:
        firsts = present_texts(values.cast(pl.List(pl.String)).list.drop_nulls().list.first().alias(name))
        kind = _media(firsts, name) if len(firsts) else None
        if kind is None and len(firsts) and _share(firsts.str.contains(ADDRESS)) >= NEARLY_ALL:
            return ColumnGuess(None, reason="it holds addresses, which are not read")
        return kind or ColumnGuess("attributes")
    if inner == pl.Binary:
        return ColumnGuess(media_kind_of_name(name) or "image")
    if inner.is_nested() and not isinstance(inner, pl.Struct):
        return ColumnGuess(None, reason="lists of lists are not encoded")
    return ColumnGuess("attributes")


def _text(values: pl.Series, name: str) -> ColumnGuess:
    texts = present_texts(values)
    if not len(texts):
        return ColumnGuess(None, reason="it is empty")
    words = set(name_words(name))
    text_name = is_text_name(name)
    addresses = _share(texts.str.contains(ADDRESS))
    if not text_name or media_kind_of_name(name):
        medium = _media(texts, name)
        if medium is not None:
            return medium
    if addresses >= NEARLY_ALL:
        return ColumnGuess(None, reason="it holds addresses, which are not read")
    if is_code_name(name):
        return ColumnGuess("attributes", "category")
    if literal_column(texts.alias(name)) is not None:
        return _literal(texts, name)
    if text_name:
        return ColumnGuess("text")
    if number_column(texts, share=0.5 if is_measure_name(name) else SHARE) is not None:
        return ColumnGuess("attributes", "category" if words & (ATTRIBUTE_NAMES - _COUNTED) else "number")
    if date_share(texts) >= NEARLY_ALL:
        return ColumnGuess(None, "date", "dates and times are not encoded")
    no_text = words & ATTRIBUTE_NAMES or is_measure_name(name) or not _reads_as_text(texts)
    return ColumnGuess("attributes" if no_text else "text")


def _media(texts: pl.Series, name: str) -> ColumnGuess | None:
    """A guess for media and for addresses of media, None for other texts."""
    named = media_kind_of_name(name)
    address = texts.str.contains(ADDRESS)
    for kind in MEDIA_ENDINGS:
        ending = texts.str.contains(ending_pattern(known_endings(kind)))
        # a path may hold spaces in a column whose name says so; elsewhere a sentence may end in the name of a file
        path = ending & (~texts.str.contains(r"\s") | texts.str.contains(r"^[^\s/\\]*[/\\]"))
        share = _share(ending | address) if named == kind else _share(path)
        if share >= (FAIR if named == kind else NEARLY_ALL):
            return ColumnGuess(kind)
    return None


def _literal(texts: pl.Series, name: str) -> ColumnGuess:
    read = literal_column(texts.alias(name))
    assert read is not None
    inner = guess_column(read[0], name)
    return ColumnGuess(inner.kind, "list", inner.reason)


def _reads_as_text(texts: pl.Series) -> bool:
    """Whether mostly distinct values are texts: sentences, titles, words of scripts without spaces."""
    distinct = texts.n_unique() / len(texts)
    if distinct <= 0.5:
        return False

    pieces = texts.str.replace_all(r"\s*[|;,]\s*", "\0").str.split("\0").explode()
    if len(pieces) >= 1.5 * len(texts) and pieces.n_unique() <= 0.5 * len(pieces):
        longest = pieces.str.count_matches(r"\s+").mean() or 0.0
        if float(longest) <= 2:  # type: ignore[arg-type]
            return False
    spaces = float(texts.str.count_matches(r"\s+").mean() or 0.0)  # type: ignore[arg-type]
    if spaces >= 1:
        return True
    if _share(texts.str.contains(_NO_SPACES)) > 0.5:
        return float(texts.str.len_chars().mean() or 0.0) >= 4  # type: ignore[arg-type]
    words = _share(texts.str.contains(r"\p{L}{2}") & ~texts.str.contains(r"\d{3}|^[\p{Lu}\d_\-.]+$"))
    return len(texts) >= 20 and distinct >= 0.8 and words >= 0.5


def _share(mask: pl.Series) -> float:
    return float(mask.fill_null(False).mean() or 0.0)  # type: ignore[arg-type]
