"""A word index over the catalogue, with unknown words read as the closest known ones.

A token of the query stands for itself, for known words that are a typing error away, and, as the last of the query, for
words that it begins. An item scores, for each token, its best match over the fields; the sum over tokens is its score.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.serving.search.field_index import FieldIndex, idf
from palate.serving.search.tokens import phrase, title_forms, tokens, words

FIELD_WEIGHTS = {"title": 3.0, "attributes": 2.0, "text": 1.0}
PREFIX_WEIGHT, VARIANT_WEIGHT, KNOWN_VARIANT_WEIGHT = 0.7, 0.8, 0.25
"""Weights of words that a token begins, of words close to an unknown token, and of words close to a known one."""
MAX_TOKENS, MAX_VARIANTS = 32, 24
"""Tokens of a query that are looked for, the first ones; known words that each may stand for."""
MIN_PREFIX = 2
"""Characters of a query from which titles that begin with it are preferred."""
MAX_CHANGED = 512
"""Changed items that are scored one by one, before the index is built again."""
BUILT = ("_fields", "_known", "_vocabulary", "_forms", "_values")
"""What is computed of the documents alone, and stays true when others change."""


@dataclass(frozen=True)
class Document:
    """An item as the index reads it.

    Attributes:
        fields: field -> tokens.
        forms: phrases by which its title is known.
        values: phrases of its attribute values.
    """

    fields: Mapping[str, tuple[str, ...]]
    forms: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


class WordMatch(NamedTuple):
    """How well items match the words of a query.

    Attributes:
        scores: float32 [N], 0 without a match.
        coverage: float32 [N] in [0, 1], the share of the query's tokens that match, each weighted by its rarity.
        exact: bool [N], items whose title is the query.
        begins: bool [N], items whose title begins with the query.
        value: bool [N], items with an attribute value that is the query.
    """

    scores: NDArray[np.float32]
    coverage: NDArray[np.float32]
    exact: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    value: NDArray[np.bool_]


def document(title: str, values: Iterable[str] = (), texts: Iterable[str] = ()) -> Document:
    """Prepare an item for the index.

    Args:
        title: its title; pairs of neighbouring words are indexed as one word too, for ``starwars``.
        values: its attribute values.
        texts: its other texts.
    """
    values, title_words = list(values), words(title)
    pairs = (first + second for first, second in pairwise(title_words))
    fields = {
        "title": (*tokens(title), *pairs),
        "attributes": tuple(token for value in values for token in tokens(value)),
        "text": tuple(token for text in texts for token in tokens(text)),
    }
    return Document(fields, title_forms(title), tuple(dict.fromkeys(filter(None, map(phrase, values)))))


@dataclass(frozen=True)
class WordIndex:
    """Documents by row, and what is computed of them when first asked for.

    Building takes O(tokens) time and memory, a query O(N) time for each word that its tokens stand for.

    Attributes:
        documents: one a row, as they were when the index was built.
        changed: row -> document, of rows that were added or changed since.
    """

    documents: Sequence[Document]
    changed: Mapping[int, Document] = field(default_factory=dict)

    def __len__(self) -> int:
        return max(len(self.documents), max(self.changed, default=-1) + 1)

    def update(self, changed: Mapping[int, Document]) -> WordIndex:
        """The index with some documents added or changed; built again when these have become many.

        Args:
            changed: row -> document.
        """
        together = {**self.changed, **changed}
        if len(together) > MAX_CHANGED:
            before = [*self.documents, *[Document({})] * (max(together) + 1 - len(self.documents))]
            return WordIndex([together.get(row, one) for row, one in enumerate(before)])
        successor = replace(self, changed=together)
        successor.__dict__.update({name: self.__dict__[name] for name in BUILT if name in self.__dict__})
        return successor

    def build(self) -> None:
        """Compute now what the first query would wait for."""
        for name in BUILT:
            getattr(self, name)

    def match(self, query: str) -> WordMatch:
        """Match a query with every document.

        Args:
            query: any text.
        """
        n, mass = len(self), 0.0
        total, covered = np.zeros(n, np.float32), np.zeros(n, np.float32)
        query_tokens = list(dict.fromkeys(tokens(query)))[:MAX_TOKENS]
        for at, token in enumerate(query_tokens):
            scores, weights = self._token_scores(self.variants(token, last=at == len(query_tokens) - 1))
            rarity = idf(self._known.get(token, 0), len(self.documents))
            total += scores
            covered += np.float32(rarity) * weights
            mass += rarity
        return WordMatch(total, covered / np.float32(max(mass, 1e-9)), *self._phrase_matches(phrase(query)))

    def variants(self, token: str, last: bool = False) -> dict[str, float]:
        """Known words that a token of a query stands for, and the weight of each.

        Args:
            token: the token.
            last: whether it is the last of the query, which may still be typed.
        """
        recent = self._recent_words
        out = {token: 1.0} if token in self._known or token in recent else {}
        if last and len(token) >= 2:
            begun = [*_beginning(self._vocabulary, token), *(word for word in recent if word.startswith(token))]
            for word in sorted(begun, key=lambda word: -self._known.get(word, 1))[:MAX_VARIANTS]:
                out.setdefault(word, PREFIX_WEIGHT)
        if len(token) >= 4 and not token.isdigit():
            from rapidfuzz import process
            from rapidfuzz.distance import OSA

            weight, edits = KNOWN_VARIANT_WEIGHT if out else VARIANT_WEIGHT, 1 if len(token) < 8 else 2
            for vocabulary in (self._vocabulary, sorted(recent)):
                close = process.extract(token, vocabulary, scorer=OSA.distance, score_cutoff=edits, limit=MAX_VARIANTS)
                for word, distance, _ in close:
                    out.setdefault(word, weight if distance <= 1 else 0.7 * weight)
        return out

    def _token_scores(self, variants: Mapping[str, float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Best score of each row for one token, and the weight of the variant that matches it."""
        size = len(self.documents)
        scores, weights = np.zeros(len(self), np.float32), np.zeros(len(self), np.float32)
        for name, index in self._fields.items():
            for word, weight in variants.items():
                if (own := index.scores(word)) is not None:
                    np.maximum(scores[:size], FIELD_WEIGHTS[name] * weight * own, out=scores[:size])
                    np.maximum(weights[:size], np.where(own > 0, weight, 0), out=weights[:size])
        for row, one in self.changed.items():
            parts = [
                (FIELD_WEIGHTS[name] * weight * index.score(word, one.fields[name]), weight)
                for name, index in self._fields.items()
                for word, weight in variants.items()
                if word in one.fields.get(name, ())
            ]
            scores[row] = max((score for score, _ in parts), default=0.0)
            weights[row] = max((weight for _, weight in parts), default=0.0)
        return scores, weights

    def _phrase_matches(self, whole: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        exact, begins, value = (np.zeros(len(self), bool) for _ in range(3))
        if not whole:
            return exact, begins, value
        long_enough = len(whole) >= MIN_PREFIX
        for mask, pairs, end in ((exact, self._forms, "\0"), (value, self._values, "\0"), (begins, self._forms, LAST)):
            if mask is not begins or long_enough:
                mask[_rows_between(pairs, whole, whole + end)] = True
        for row, one in self.changed.items():
            exact[row], value[row] = whole in one.forms, whole in one.values
            begins[row] = long_enough and any(form.startswith(whole) for form in one.forms)
        return exact, begins, value

    @cached_property
    def _fields(self) -> dict[str, FieldIndex]:
        return {name: FieldIndex.build([one.fields.get(name, ()) for one in self.documents]) for name in FIELD_WEIGHTS}

    @cached_property
    def _known(self) -> dict[str, int]:
        """Every indexed word with the number of documents that hold it in the field where it is most frequent."""
        known: Counter[str] = Counter()
        for index in self._fields.values():
            known |= Counter(index.counts)
        return dict(known)

    @cached_property
    def _vocabulary(self) -> list[str]:
        return sorted(self._known)

    @cached_property
    def _recent_words(self) -> set[str]:
        """Words that only changed documents hold."""
        return {word for one in self.changed.values() for own in one.fields.values() for word in own} - set(self._known)

    @cached_property
    def _forms(self) -> list[tuple[str, int]]:
        return sorted((form, row) for row, one in enumerate(self.documents) for form in one.forms)

    @cached_property
    def _values(self) -> list[tuple[str, int]]:
        return sorted((value, row) for row, one in enumerate(self.documents) for value in one.values)


LAST = "\U0010ffff"


def _beginning(ordered: Sequence[str], start: str) -> Iterator[str]:
    for at in range(bisect_left(ordered, start), len(ordered)):
        if not ordered[at].startswith(start):
            return
        yield ordered[at]


def _rows_between(pairs: Sequence[tuple[str, int]], low: str, high: str) -> list[int]:
    return [row for _, row in pairs[bisect_left(pairs, (low,)) : bisect_left(pairs, (high,))]]
