"""Which rows of catalogue and history a generated text speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from palate.contracts import Evidence, GenerationRequest
from palate.models.generate.shared.columns import ItemColumns, said
from palate.modules.text_generation.words import split_words

LEAST = 4
"""Letters of a word that says something by itself."""


def evidence_of(text: str, request: GenerationRequest, columns: ItemColumns) -> list[Evidence]:
    """Values that stand in a text: whole titles and attribute values, and running texts that share words with it.

    Args:
        text: what was generated.
        request: what it was generated from.
        columns: columns of items by role.
    """
    words = [word.lower() for word in split_words(text)]
    telling = {word for word in words if len(word) >= LEAST}
    found: list[Evidence] = []
    explained: set[str] = set()
    for source, row in (("item", request.item), *(("history", row) for row in request.history)):
        # a running text of the history is evidence only for words that the item itself does not have
        telling = telling if source == "item" else telling - explained
        for column, value, whole in _values(row, columns):
            own = [word.lower() for word in split_words(value)]
            shared = telling.intersection(own)
            if _inside(own, words) if whole else shared:
                if source == "item":
                    explained |= shared
                found.append(
                    Evidence("item" if source == "item" else "history", str(row.get(columns.ids)), column, value)
                )
    for one in request.evidence:
        own = [word.lower() for word in split_words(said(one.value) or "")]
        if _inside(own, words) or telling & set(own):
            found.append(one)
    return found


def _values(row: Mapping[str, Any], columns: ItemColumns) -> Iterator[tuple[str, str, bool]]:
    """Column, value, and whether the value must stand in the text as a whole."""
    for column in (*((columns.title,) if columns.title else ()), *columns.attributes):
        value = row.get(column)
        for one in value if isinstance(value, list | tuple) else (value,):
            if text := said(one):
                yield column, text, True
    for column in columns.body:
        if text := said(row.get(column)):
            yield column, text, False


def _inside(part: list[str], words: list[str]) -> bool:
    return bool(part) and any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))
