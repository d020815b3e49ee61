"""The facts that a text may state: columns of the item, and evidence, each cut into values, numbers and words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real
from typing import Any

from palate.contracts import Evidence
from palate.data.column_kinds import ABSENT
from palate.generation.facts.measures import Measure, find_measures
from palate.generation.facts.words import fold, key_of, stem, tokenize, word_lists

LONG = 8
"""Words from which a cell is a text, not a value."""
NAMES = ("director", "cast", "writer", "composer")
"""Relations whose values are names of people."""
DIMENSIONS = {"price": "money", "runtime": "time", "rating": "stars"}
"""Relation -> dimension of its plain numbers."""
_ID = re.compile(r"(^|[_\s])(id|url|uri|link|image|picture|poster)s?$|[a-z]Id$", re.IGNORECASE)
_LIST = re.compile(r"\s*[,|;/]\s*")
_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")
_ARTICLE = re.compile(r"^(.+), (The|A|An|Der|Die|Das|Le|La|Les|El|Los|Las|Il|L')$")


@dataclass(frozen=True)
class Fact:
    """One cell.

    Attributes:
        row: the evidence that it is.
        relations: what its column tells, such as ``director``; the column's own name where it is no known relation.
        values: its values as keys of folded words; empty for a text.
        spellings: the same values as written.
        words: all its words, folded, between spaces; a space at either end.
        measures: its numbers, years and dates.
        is_text: whether it is prose.
    """

    row: Evidence
    relations: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    spellings: tuple[str, ...]
    words: str
    measures: tuple[Measure, ...]
    is_text: bool

    def has_phrase(self, key: Sequence[str]) -> bool:
        """Whether these words stand in it, one after the other.

        Args:
            key: folded words.
        """
        return f" {' '.join(key)} " in self.words


def column_words(column: str) -> tuple[str, ...]:
    """Folded words of a column's name: ``ReleaseYear`` and ``release_year`` alike.

    Args:
        column: name.
    """
    return tuple(fold(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", column)).split())


@lru_cache(maxsize=4096)
def relations_of(column: str) -> tuple[str, ...]:
    """What a column tells by its name.

    Args:
        column: name.
    """
    name = "_".join(column_words(column))
    known = tuple(key for key, relation in word_lists()["relations"].items() if name in relation["columns"])
    return known or (name,)


def is_title(column: str) -> bool:
    """Whether a column holds names of items.

    Args:
        column: name.
    """
    return "_".join(column_words(column)) in word_lists()["titles"]


def item_key(item: Mapping[str, Any]) -> str:
    """The id of an item, empty if no column is one.

    Args:
        item: columns.
    """
    return next((str(value) for column, value in item.items() if _ID.search(column) and value is not None), "")


def is_told(column: str, value: Any) -> bool:
    """Whether a cell states anything: ids, addresses, bytes and absent values do not.

    Args:
        column: name.
        value: of the cell.
    """
    if value is None or isinstance(value, bytes) or _ID.search(column):
        return False
    return not (isinstance(value, str) and fold(value.strip()) in ABSENT)


def split_values(value: Any) -> list[str]:
    """The values of a cell: items of a list, parts of "A, B" or "A|B"; none for prose.

    Args:
        value: of the cell.
    """
    if isinstance(value, (list, tuple, set)):
        return [part for one in value for part in split_values(one)]
    text = str(value).strip()
    parts = [re.sub(r"\s*\([^)]*\)", "", part).strip() for part in _LIST.split(text)]
    if any(len(part.split()) > LONG for part in parts) or re.search(r"[^\W\d_]{3}[.!?]\s+\S|[^.]{30,}[.!?]$", text):
        return []
    return [part for part in parts if part]


def title_variants(title: str) -> list[str]:
    """A title without its year, with the article in front, and its parts in brackets.

    Args:
        title: as the catalogue has it.
    """
    bare = _YEAR.sub("", title)
    out = [title, bare]
    for part in (re.sub(r"\s*\([^)]*\)", "", bare), *re.findall(r"\(([^)]*)\)", bare)):
        moved = _ARTICLE.match(part)
        out += [f"{moved[2]} {moved[1]}", moved[1]] if moved else [part]
    return list(dict.fromkeys(out))


def read_fact(row: Evidence) -> Fact:
    """A cell as a fact.

    Args:
        row: the cell.
    """
    relations = relations_of(row.column)
    numeric = isinstance(row.value, Real) and not isinstance(row.value, bool)
    text = f"{row.value:.10g}" if numeric and isinstance(row.value, float) else str(row.value)
    if isinstance(row.value, (list, tuple, set)):
        text = ", ".join(map(str, row.value))
    title = is_title(row.column)
    spellings = title_variants(text) if title else [] if numeric else split_values(row.value)
    tokens = tokenize(text)
    measures = find_measures(text, tokens)
    dimension = next((DIMENSIONS[name] for name in relations if name in DIMENSIONS), "")
    measures = [replace(m, dimension=m.dimension or dimension, bound="exact") for m in measures]
    words = " ".join(token.folded for token in tokens if token.text[0].isalnum())
    keys = tuple(map(key_of, spellings))
    prose = not title and not numeric and not spellings
    return Fact(row, relations, keys, tuple(spellings), f" {words} ", tuple(measures), prose)


class FactSheet:
    """All facts that one text may state.

    Args:
        item: columns of the item.
        evidence: what else may be said.
    """

    def __init__(self, item: Mapping[str, Any], evidence: Iterable[Evidence] = ()) -> None:
        rows = [Evidence("item", item_key(item), column, value) for column, value in item.items()]
        self.facts = [read_fact(row) for row in [*rows, *evidence] if is_told(row.column, row.value)]
        self.own = [fact for fact in self.facts if fact.row.source == "item"]
        self.texts = [fact for fact in self.facts if fact.is_text]
        self.relations = {name for fact in self.own for name in fact.relations}
        self.stems = {stem(word) for fact in self.facts for word in fact.words.split()}

    def about(self, relations: Iterable[str], history: bool = False) -> list[Fact]:
        """Facts that tell one of these relations.

        Args:
            relations: such as ``director``.
            history: also those of items that the user took.
        """
        wanted = set(relations)
        facts = self.facts if history else [fact for fact in self.facts if fact.row.source != "history"]
        return [fact for fact in facts if wanted.intersection(fact.relations) and not fact.is_text]
