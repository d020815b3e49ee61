"""Values of an item as words: which are short enough to be named, and whether a phrase is true of the item."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palate.generation.decoding.commands import without_commands
from palate.generation.evidence import MAX_TEXT, MAX_TITLE, ROLES, said

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SEPARATOR = re.compile(r"\s*[|;,]\s*")
_PLACE = re.compile(r"://|^www\.|\.(?:jpe?g|png|webp|gif|bmp|mp4|webm|mp3|wav|flac|ogg)$", re.IGNORECASE)
_NEGATIONS = frozenset(
    ("not", "no", "non", "never", "without", "nor", "neither", "lacks", "isn't", "aren't", "doesn't", "don't")
)
REACH = 3
"""Words before a phrase among which a negation takes it back."""
MAX_WORDS = 4
"""Words of a value that can be named in a sentence."""
TITLES = ("title", "name", "headline", "song", "product", *ROLES["title"][2:])
"""Columns that name an item, the likeliest first."""


def words(text: str) -> list[str]:
    """Words of a text, compatible characters made equal (NFKC) and case folded.

    Args:
        text: any text.
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def numbers(text: str) -> set[str]:
    """Numbers of a text as they are spelled.

    Args:
        text: any text.
    """
    return set(_NUMBER.findall(unicodedata.normalize("NFKC", text)))


def title_column(item: Mapping[str, Any]) -> str | None:
    """The column that names an item; None where no column is called so.

    Args:
        item: id and columns.
    """
    lower = {column.casefold(): column for column in item if item[column]}
    return next((lower[name] for name in TITLES if name in lower), None)


def title_of(item: Mapping[str, Any]) -> str:
    """The item's title on one line, or its first value.

    Args:
        item: id and columns.
    """
    column = title_column(item)
    value = item[column] if column else next(iter(item.values()), "")
    return said(value, MAX_TITLE)


def is_id(column: str) -> bool:
    """Whether a column is called like an identifier.

    Args:
        column: its name.
    """
    return column.casefold() == "id" or bool(re.search(r"(?:_id|[a-z]Id|ID)$", column))


def values_of(value: Any) -> tuple[str, ...]:
    """Values of one cell that can be named: of lists each, of ``a, b`` and ``a|b`` each part up to a command.

    Args:
        value: of a cell.

    Returns:
        Values in order without repetition; none for long text, numbers, media and links.
    """
    if value is None or isinstance(value, bool | int | float | bytes):
        return ()
    if isinstance(value, Mapping):
        parts: Iterable[Any] = value.values()
    elif isinstance(value, str):
        parts = _SEPARATOR.split(without_commands(value))
    elif isinstance(value, Iterable):
        parts = value
    else:
        return ()
    named = [told for part in parts if isinstance(part, str) and (told := said(part, MAX_TEXT))]
    if any(len(words(part)) > MAX_WORDS or _PLACE.search(part) for part in named):
        return ()
    return tuple(dict.fromkeys(part for part in named if any(char.isalpha() for char in part)))


def attributes(item: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Column -> values that can be named; ids and the title are left out.

    Args:
        item: id and columns.
    """
    title = title_column(item)
    found = {column: values_of(item[column]) for column in item if column != title and not is_id(column)}
    return {column: values for column, values in found.items() if values}


def contains(text: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether words follow each other in a text.

    Args:
        text: words.
        phrase: words.
    """
    return bool(_starts(text, phrase))


def affirms(text: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether words follow each other in a text and are not negated there (``not a comedy``, ``sugar free``).

    Args:
        text: words.
        phrase: words.
    """
    n = len(phrase)
    return any(
        _NEGATIONS.isdisjoint(text[max(0, start - REACH) : start]) and list(text[start + n : start + n + 1]) != ["free"]
        for start in _starts(text, phrase)
    )


def _starts(text: Sequence[str], phrase: Sequence[str]) -> list[int]:
    n = len(phrase)
    return [at for at in range(len(text) - n + 1) if list(text[at : at + n]) == list(phrase)] if n else []


def true_of(item: Mapping[str, Any], phrase: str) -> str | None:
    """The column that says a phrase of the item.

    Args:
        item: id and columns.
        phrase: word or phrase.

    Returns:
        Name of the column; None where the item says no such thing, or negates it.
    """
    wanted = words(phrase)
    for column, value in item.items():
        if value is None or isinstance(value, bytes):
            continue
        cells = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
        if any(affirms(words(str(cell)), wanted) for cell in cells):
            return column
    return None


def listed(values: Sequence[str], last: str = "and") -> str:
    """Values as a phrase: ``a, b and c``.

    Args:
        values: at least one.
        last: word before the last of several.
    """
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} {last} {values[-1]}"
