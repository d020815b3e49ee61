"""Tokens, folded spellings and light stems of texts in European languages, and the words by which claims are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Generic, TypeVar

import yaml

from palate.core.folding import fold_letters

V = TypeVar("V")

_TOKEN = re.compile(
    r"\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?(?![\d])|\d+(?:[.,]\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]"
)
_ENDINGS = ("ings", "ing", "ies", "ied", "ers", "ed", "en", "es", "er", "s", "e", "y")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])|\s*\n+\s*")


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """The text in lower case without accents.

    Args:
        text: any.
    """
    return fold_letters(text.replace("’", "'"))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """What inflected forms of a word share; words up to three letters stay as they are.

    Args:
        word: folded.
    """
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number or sign.

    Attributes:
        text: as written.
        start: first character in the text.
        stop: one past its last.
        folded: lower case, without accents and the possessive ending.
        possessive: whether it ends in ``'s``.
    """

    text: str
    start: int
    stop: int
    folded: str
    possessive: bool

    @property
    def is_word(self) -> bool:
        """Whether it consists of letters."""
        return self.text[0].isalpha()

    @property
    def is_number(self) -> bool:
        """Whether it begins with a digit."""
        return self.text[0].isdecimal()

    @property
    def is_capital(self) -> bool:
        """Whether its first letter is a capital."""
        return self.text[0].isupper()


def tokenize(text: str, offset: int = 0) -> list[Token]:
    """Words, numbers and signs; hyphens between letters part words and are left out.

    Args:
        text: any.
        offset: added to the places.
    """
    out = []
    for match in _TOKEN.finditer(text):
        word, start, stop = match[0], match.start(), match.end()
        before, after = text[max(start - 1, 0) : start], text[stop : stop + 1]
        if word in "-‐‑" and before.isalnum() and after.isalnum() and not (before.isdecimal() and after.isdecimal()):
            continue
        folded = fold(word)
        possessive = folded.endswith("'s")
        out.append(Token(word, start + offset, stop + offset, folded[:-2] if possessive else folded, possessive))
    return out


def key_of(text: str) -> tuple[str, ...]:
    """Folded words and numbers of a text, for lookups.

    Args:
        text: any.
    """
    return tuple(token.folded for token in tokenize(text) if token.text[0].isalnum() or token.text in "#$€£¥%")


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, stop) of each sentence; titles such as "Mr." and initials do not end one.

    Args:
        text: any.
    """
    out, start, abbreviations = [], 0, set(word_lists()["abbreviations"])
    for match in _SENTENCE_END.finditer(text):
        before = text[start : match.start()].rstrip("\"'”’»)]")
        last = re.split(r"[\s.]", before[:-1])[-1] if before.endswith(".") else ""
        following = text[match.end() : match.end() + 1]
        short = last and (last.casefold() in abbreviations or (len(last) == 1 and last.isupper()))
        if "\n" not in match[0] and (short or following.islower()):
            continue
        if text[start : match.start()].strip():
            out.append((start, match.start() + len(match[0]) - len(match[0].lstrip("\"'”’»)]"))))
        start = match.end()
    if text[start:].strip():
        out.append((start, len(text.rstrip())))
    return out


class Phrases(Generic[V]):
    """Longest phrases in a sequence of tokens, each step one look-up by its first word.

    Args:
        entries: (words, value) pairs; a phrase may have several values.
        stems: compare stems instead of words.
    """

    def __init__(self, entries: Iterable[tuple[Sequence[str], V]] = (), stems: bool = False) -> None:
        self.stems = stems
        self.table: dict[tuple[str, ...], list[V]] = {}
        self.longest: dict[str, int] = {}
        for words, value in entries:
            self.add(words, value)

    def add(self, words: Sequence[str], value: V) -> None:
        """Add a phrase.

        Args:
            words: folded words.
            value: returned where it stands.
        """
        key = tuple(map(stem, words)) if self.stems else tuple(words)
        if key:
            values = self.table.setdefault(key, [])
            if value not in values:
                values.append(value)
            self.longest[key[0]] = max(self.longest.get(key[0], 0), len(key))

    def at(self, words: Sequence[str], place: int) -> tuple[int, list[V]] | None:
        """(words, values) of the longest phrase that begins at a place.

        Args:
            words: folded, or stems where ``stems``.
            place: of its first word.
        """
        return next(self.every(words, place), None)

    def every(self, words: Sequence[str], place: int) -> Iterator[tuple[int, list[V]]]:
        """(words, values) of all phrases that begin at a place, the longest first.

        Args:
            words: folded, or stems where ``stems``.
            place: of the first word.
        """
        longest = self.longest.get(words[place], 0)
        for length in range(min(longest, len(words) - place), 0, -1):
            values = self.table.get(tuple(words[place : place + length]))
            if values:
                yield length, values


@lru_cache(maxsize=1)
def word_lists() -> dict[str, Any]:
    """The word lists of ``words.yaml``, every scalar as text."""
    source = files("palate.generation.facts").joinpath("words.yaml").read_text(encoding="utf-8")
    # the loader in C is ten times as fast
    return yaml.load(source, getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # type: ignore[no-any-return]


def phrase_list(name: str) -> Phrases[bool]:
    """A word list as phrases.

    Args:
        name: its key in ``words.yaml``.
    """
    return Phrases((key_of(text), True) for text in word_lists()[name])
