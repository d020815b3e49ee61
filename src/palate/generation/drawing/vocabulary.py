"""What pictures can be conditioned on: attribute values and words of a catalogue, each a token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from palate.core.batch import IntArray
from palate.data.catalog import Catalog
from palate.data.schema import SEPARATORS

_WORD = re.compile(r"[^\W\d_]{2,}")
_SEPARATOR = re.compile(SEPARATORS)
LEAST = 2
"""Items that must have a value or word, so that something can be learnt about it."""


@dataclass(frozen=True)
class PictureVocabulary:
    """Tokens by number: 0 is padding, then attribute values column by column, then words.

    Attributes:
        attributes: column -> its values, in the spelling that compares: trimmed, case folded.
        words: words of texts, case folded.
    """

    attributes: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...] = ()

    @classmethod
    def learn(cls, items: Catalog, values: int = 64, words: int = 512) -> PictureVocabulary:
        """Take the most frequent values of each attribute and the most frequent words of texts.

        Args:
            items: the catalogue; rows that may not be seen are empty.
            values: of each column, at most.
            words: at most.
        """
        attributes = {}
        for column in items.columns("attributes"):
            if items.frame[column].dtype.is_float():
                continue
            counts = Counter(one for value in items.frame[column] for one in set(split_values(value)))
            kept = _frequent(counts, values)
            if len(kept) > 1 and (not items.frame[column].dtype.is_integer() or len(kept) == len(counts)):
                attributes[column] = kept
        texts = items.raw("text") if items.columns("text") else []
        found = Counter(word for text in texts if isinstance(text, str) for word in set(words_of(text)))
        return cls(attributes, _frequent(found, words))

    @cached_property
    def attribute_ids(self) -> dict[tuple[str, str], int]:
        """(column, value) -> token."""
        pairs = [(column, value) for column, values in self.attributes.items() for value in values]
        return {pair: at for at, pair in enumerate(pairs, start=1)}

    @cached_property
    def word_ids(self) -> dict[str, int]:
        """Word -> token."""
        return {word: at for at, word in enumerate(self.words, start=1 + len(self.attribute_ids))}

    @cached_property
    def value_ids(self) -> dict[str, tuple[int, ...]]:
        """Value -> its tokens, one a column that has it."""
        found: dict[str, tuple[int, ...]] = {}
        for (_, value), token in self.attribute_ids.items():
            found[value] = (*found.get(value, ()), token)
        return found

    def __len__(self) -> int:
        return 1 + len(self.attribute_ids) + len(self.words)

    @property
    def n_attributes(self) -> int:
        """Attribute values; their tokens are 1 to this number."""
        return len(self.attribute_ids)

    def attributes_of(self, record: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
        """Attribute tokens of an item -> (column, value) as it stands there.

        Args:
            record: columns of the item.
        """
        found: dict[int, tuple[str, str]] = {}
        for column in self.attributes:
            for value in split_values(record.get(column), fold=False):
                token = self.attribute_ids.get((column, value.casefold()))
                if token is not None:
                    found[token] = (column, value)
        return found

    def phrase(self, text: str) -> list[int]:
        """Tokens that a phrase means; none where nothing is known of it.

        Args:
            text: ``column=value``, an attribute value, or words.
        """
        column, equals, value = text.partition("=")
        if equals and column.strip() in self.attributes:
            token = self.attribute_ids.get((column.strip(), value.strip().casefold()))
            return [] if token is None else [token]
        whole = self.value_ids.get(text.strip().casefold())
        if whole:
            return list(whole)
        tokens = [self.value_ids.get(word) or (self.word_ids.get(word),) for word in words_of(text)]
        return [one for some in tokens for one in some if one is not None]

    def attribute_table(self, items: Catalog) -> IntArray:
        """Attribute tokens of all items, int64 [n, m], padded with 0.

        Args:
            items: the catalogue.
        """
        columns = [column for column in self.attributes if column in items.frame.columns]
        rows = [list(self.attributes_of(record)) for record in items.frame.select(columns).iter_rows(named=True)]
        return _padded(rows if columns else [[] for _ in range(len(items))])

    def word_table(self, items: Catalog, longest: int = 12) -> IntArray:
        """Word tokens of the texts of all items, int64 [n, m], padded with 0.

        Args:
            items: the catalogue.
            longest: known words of an item, at most.
        """
        texts = items.raw("text") if items.columns("text") else [None] * len(items)
        known = [dict.fromkeys(words_of(text)) if isinstance(text, str) else {} for text in texts]
        return _padded([[self.word_ids[w] for w in words if w in self.word_ids][:longest] for words in known])

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"attributes": {c: list(v) for c, v in self.attributes.items()}, "words": list(self.words)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> PictureVocabulary:
        """Read what :meth:`to_json` made.

        Args:
            facts: as made.
        """
        return cls(
            {str(column): tuple(map(str, values)) for column, values in facts["attributes"].items()},
            tuple(map(str, facts["words"])),
        )


def split_values(value: Any, fold: bool = True) -> list[str]:
    """Values of a cell: of a list, or of a text that separates them by ``,``, ``|`` or ``;``.

    Args:
        value: of the cell.
        fold: case folded, as they are compared.
    """
    if value is None:
        return []
    many: Iterable[Any] = value if isinstance(value, list | tuple) else _SEPARATOR.split(str(value))
    texts = [str(one).strip() for one in many if one is not None]
    return [text.casefold() if fold else text for text in texts if text]


def words_of(text: str) -> list[str]:
    """Words of a text, case folded, without numbers.

    Args:
        text: any text.
    """
    return _WORD.findall(text.casefold())


def _frequent(counts: Counter[str], n: int) -> tuple[str, ...]:
    enough = [(count, one) for one, count in counts.items() if count >= LEAST]
    return tuple(sorted(one for _, one in sorted(enough, key=lambda pair: (-pair[0], pair[1]))[:n]))


def _padded(rows: Sequence[Sequence[int]]) -> IntArray:
    out = np.zeros((len(rows), max([1, *map(len, rows)])), np.int64)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out
