"""Sentences about an item that may be quoted, with where each stands; and how relevant a sentence is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.contracts import Evidence, GenerationRequest
from palate.generation.decoding.commands import without_commands
from palate.generation.flows.item_values import (
    attributes,
    is_id,
    title_column,
    title_of,
    true_of,
    values_of,
    words,
)
from palate.generation.flows.private import is_private

FEWEST, MOST = 4, 30
"""Words of a sentence that can be quoted."""
AUTHORS = ("author", "user", "username", "user_name", "name", "nickname", "by")
"""Keys of a comment that name its writer, or identify them."""
_END = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
Relevance = Callable[[Sequence[str], str], Sequence[float]]
"""(sentences, what they should be about) -> values, the higher the more relevant."""


@dataclass(frozen=True)
class Sentence:
    """A sentence that may be quoted.

    Attributes:
        text: as it stands in the source.
        evidence: where it stands.
    """

    text: str
    evidence: Evidence

    @property
    def by_listener(self) -> bool:
        """Whether people wrote it, not the catalogue."""
        return self.evidence.source == "document"


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, each on one line.

    Args:
        text: any text.
    """
    return [" ".join(part.split()) for part in _END.split(text) if part.strip()]


def candidates(request: GenerationRequest) -> list[Sentence]:
    """Sentences of comments, retrieved documents and long columns of the item that may be shown.

    Left out are commands to a language model with what follows them, sentences of fewer than 4 or more than 30 words,
    repetitions, and whatever is private: also the names of those who commented, unless the item itself has them.

    Args:
        request: comments are ``options["comments"]``: texts, or mappings with ``text``, ``id`` and ``author``.
    """
    found, names = documents(request)
    names = [name for name in names if true_of(request.item, name) is None]
    out: dict[str, Sentence] = {}
    for place in found:
        for text in split_sentences(without_commands(str(place.value))):
            if FEWEST <= len(text.split()) <= MOST and not is_private(text, names):
                made = Evidence(place.source, place.id, place.column, text)
                out.setdefault(text.casefold(), Sentence(text, made))
    return list(out.values())


def commenters(request: GenerationRequest) -> list[str]:
    """Names of those who wrote comments.

    Args:
        request: as in :func:`candidates`.
    """
    return documents(request)[1]


def overlap(texts: Sequence[str], about: str) -> list[float]:
    """Relevance by words: the cosine of idf-weighted sets of words, idf over the texts and what they are about.

    Args:
        texts: sentences.
        about: words they should share.

    Returns:
        In 0..1, one a text.
    """
    sets, wanted = [set(words(text)) for text in texts], set(words(about))
    counts = Counter(word for one in (*sets, wanted) for word in one)
    n = len(sets) + 1
    idf = {word: math.log(1.0 + n / count) for word, count in counts.items()}

    def norm(one: set[str]) -> float:
        return math.sqrt(sum(idf[word] ** 2 for word in one))

    size = norm(wanted)
    return [
        sum(idf[word] ** 2 for word in one & wanted) / (norm(one) * size) if one and wanted else 0.0 for one in sets
    ]


def documents(request: GenerationRequest) -> tuple[list[Evidence], list[str]]:
    """Texts of comments, documents and long columns with their place, and the names of those who wrote comments.

    Args:
        request: as in :func:`candidates`.
    """
    item, names = request.item, []
    identity = str(next(iter(item.values()), ""))
    found: list[Evidence] = []
    for at, comment in enumerate(request.options.get("comments", ())):
        if isinstance(comment, Mapping):
            names += [str(comment[key]) for key in AUTHORS if comment.get(key)]
            found.append(Evidence("document", str(comment.get("id", at)), "comment", comment.get("text") or ""))
        else:
            found.append(Evidence("document", str(at), "comment", comment))
    found += [one for one in request.evidence if one.source == "document" and isinstance(one.value, str)]
    title = title_column(item)
    for column, value in item.items():
        if isinstance(value, str) and column != title and not is_id(column) and not values_of(value):
            found.append(Evidence("item", identity, column, value))
    return found, names


def described(item: Mapping[str, Any]) -> str:
    """Words of an item: its title and the values that can be named; not its long texts, whose sentences are candidates.

    Args:
        item: id and columns.
    """
    named = [value for values in attributes(item).values() for value in values]
    return " ".join([title_of(item), *named])
