"""Values that a catalogue knows, so that a text's "blue" or "Tom Hanks" is seen for what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from palate.generation.facts.sheet import NAMES, is_title, is_told, relations_of, split_values
from palate.generation.facts.words import Phrases, key_of, stem, tokenize, word_lists

MANY = 5000
"""Distinct values of a column, at most; beyond them it is no attribute, unless it holds names."""
SAMPLE = 5000
"""Items whose texts are read, at most."""
COMMON, RATIO = 0.01, 0.25
"""A value is also an ordinary word where more than this share of the texts of items without it says it, and more than
this part of the share among items with it."""
Meaning = tuple[str, tuple[str, ...]]
"""(relation, words of the value as the catalogue has it)."""


@lru_cache(maxsize=1)
def _synonyms() -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    lists = word_lists()["synonyms"]
    return {key_of(value): [key_of(word) for word in words] for value, words in lists.items()}


@lru_cache(maxsize=1)
def _ordinary() -> frozenset[str]:
    return frozenset(stem(word) for text in word_lists()["ordinary"] for word in key_of(text))


class Lexicon:
    """Attribute values and names of a catalogue, with inflected forms and other words for the same.

    Args:
        families: begin with common colours, materials and genres.

    Attributes:
        values: phrases of stems -> meanings.
        names: phrases of folded words -> relations in which the name stands somewhere.
        relations: what the columns of the catalogue tell.
        ordinary: stems that are also ordinary words: checked only next to words of their relation.
    """

    def __init__(self, families: bool = True) -> None:
        self.values: Phrases[Meaning] = Phrases(stems=True)
        self.names: Phrases[str] = Phrases()
        self.relations: set[str] = set()
        self.ordinary = set(_ordinary())
        for relation, values in word_lists()["families"].items() if families else ():
            for value in values:
                self.add(relation, value)

    def add(self, relation: str, value: str) -> None:
        """Add a value and the other words for it.

        Args:
            relation: what its column tells.
            value: as written.
        """
        key = key_of(value)
        if relation in NAMES:
            self.names.add(key, relation)
            return
        for spelling in (key, *_synonyms().get(key, ())):
            self.values.add(spelling, (relation, key))

    @classmethod
    def learn(cls, items: Iterable[Mapping[str, Any]]) -> Lexicon:
        """Learn the values of a catalogue.

        Args:
            items: columns of each item.
        """
        lexicon = cls()
        values: dict[str, Counter[str]] = {}
        filled: Counter[str] = Counter()
        sample: list[tuple[set[str], set[str]]] = []
        for item in items:
            held: set[str] = set()
            said: set[str] = set()
            for column, value in item.items():
                if not is_told(column, value) or not isinstance(value, (str, list, tuple)) or is_title(column):
                    continue
                parts = split_values(value)
                filled[column] += 1
                values.setdefault(column, Counter()).update(parts)
                (held if parts else said).update(stem(token.folded) for token in tokenize(str(value)))
            if said and len(sample) < SAMPLE:
                sample.append((held, said))
        for column, counts in values.items():
            relations = relations_of(column)
            if not set(relations).intersection(NAMES) and len(counts) > min(MANY, 0.5 * filled[column] + 20):
                continue
            for value in counts:
                if any(letter.isalpha() for letter in value):
                    for relation in relations:
                        lexicon.add(relation, value)
            lexicon.relations.update(relations)
        lexicon.ordinary |= _said_by_chance(sample, {key[0] for key in lexicon.values.table if len(key) == 1})
        return lexicon

    def is_ordinary(self, key: tuple[str, ...]) -> bool:
        """Whether a value may be said without meaning the attribute.

        Args:
            key: its folded words in the text.
        """
        return len(key) == 1 and (len(key[0]) <= 2 or stem(key[0]) in self.ordinary)


def _said_by_chance(sample: list[tuple[set[str], set[str]]], values: set[str]) -> set[str]:
    """Stems of values that texts say nearly as often where the item lacks them."""
    held: Counter[str] = Counter()
    both: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for has, says in sample:
        held.update(has & values)
        said.update(says & values)
        both.update(has & says & values)
    out = set()
    for value, times in said.items():
        without = (times - both[value]) / max(len(sample) - held[value], 1)
        if without > COMMON and without > RATIO * both[value] / max(held[value], 1):
            out.add(value)
    return out
