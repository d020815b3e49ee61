"""Spans of a sentence that can be looked up: titles, names, values, numbers, years, dates and superlatives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from palate.generation.facts.claims import Kind
from palate.generation.facts.lexicon import Lexicon, Meaning
from palate.generation.facts.measures import Measure, find_measures
from palate.generation.facts.sheet import NAMES, FactSheet, is_title
from palate.generation.facts.words import Phrases, Token, key_of, phrase_list, stem, word_lists

_QUOTED = re.compile(
    r"[\"“„«]([^\"“”„«»]{2,80})[\"”“»]|(?<!\w)[‘']([A-Z][^'‘’]{1,78})['’](?!\w)|(?<!\w)[*_]([A-Z][^*_]{1,78})[*_](?!\w)"
)
_PREFIXES = ("un", "non", "in")
TITLE_CASE = 0.6
"""Share of a sentence's longer words with a capital from which capitals say nothing."""


@dataclass(frozen=True)
class Mention:
    """Words that name something.

    Attributes:
        start: first token.
        stop: one past the last token.
        kind: what it is.
        key: its folded words.
        meanings: of a value: what it may mean.
        measure: of a number, year or date.
        inverted: whether the word itself denies the value ("unstriped").
        certain: whether it counts without words of a relation next to it.
        initial: whether its capital may come from its place in the sentence.
    """

    start: int
    stop: int
    kind: Kind
    key: tuple[str, ...]
    meanings: tuple[Meaning, ...] = ()
    measure: Measure | None = None
    inverted: bool = False
    certain: bool = True
    initial: bool = False


@lru_cache(maxsize=1)
def _sets() -> dict[str, frozenset[str]]:
    lists = word_lists()
    return {name: frozenset(lists[name]) for name in ("functions", "particles", "not_names", "german")}


@lru_cache(maxsize=1)
def _superlatives() -> tuple[Phrases[bool], Phrases[bool]]:
    return phrase_list("superlatives"), phrase_list("not_superlatives")


class SheetPhrases:
    """Phrases of the facts of one sheet.

    Args:
        sheet: facts.
        lexicon: values of the catalogue.
    """

    def __init__(self, sheet: FactSheet, lexicon: Lexicon) -> None:
        self.sheet, self.lexicon = sheet, lexicon
        self.titles: Phrases[bool] = Phrases()
        self.names: Phrases[bool] = Phrases()
        own = Lexicon(families=False)
        for fact in sheet.facts:
            if is_title(fact.row.column):
                for key in fact.values:
                    self.titles.add(key, True)
                continue
            for key, spelling in zip(fact.values, fact.spellings):
                for relation in fact.relations:
                    if relation in NAMES:
                        self.names.add(key, True)
                    elif any(letter.isalpha() for letter in spelling):
                        own.add(relation, spelling)
        self.values = own.values

    def meanings(self, stems: Sequence[str], place: int) -> tuple[int, tuple[Meaning, ...]] | None:
        """(words, meanings) of the longest value at a place.

        Args:
            stems: of the sentence.
            place: of the first word.
        """
        hits = [hit for table in (self.values, self.lexicon.values) if (hit := table.at(stems, place))]
        if not hits:
            return None
        length = max(hit[0] for hit in hits)
        return length, tuple(dict.fromkeys(m for hit in hits if hit[0] == length for m in hit[1]))


class SentenceReader:
    """Finds the mentions of one sentence; earlier kinds take their tokens.

    Args:
        text: the text whose places the tokens have.
        tokens: of the sentence.
        phrases: of the facts.
        cues: places of tokens that say a relation; no name begins or ends with one.
    """

    def __init__(self, text: str, tokens: Sequence[Token], phrases: SheetPhrases, cues: set[int]) -> None:
        self.text, self.tokens, self.phrases, self.cues = text, tokens, phrases, cues
        self.words = [token.folded for token in tokens]
        self.stems = [stem(word) for word in self.words]
        self.free = [True] * len(tokens)
        self.mentions: list[Mention] = []

    def read(self) -> list[Mention]:
        """All mentions, in the order of the sentence."""
        self._phrases(self.phrases.titles, "title", several=2)
        self._quoted()
        self._superlatives()
        self._phrases(self.phrases.names, "name", several=1)
        self._phrases(self.phrases.lexicon.names, "name", several=1)
        for measure in find_measures(self.text, self.tokens):
            kind: Kind = "year" if measure.kind == "decade" else measure.kind
            self._take(
                Mention(measure.start, measure.stop, kind, self._key(measure.start, measure.stop), measure=measure)
            )
        self._values()
        self._capitals()
        return sorted(self.mentions, key=lambda mention: mention.start)

    def _key(self, start: int, stop: int) -> tuple[str, ...]:
        return tuple(self.words[i] for i in range(start, stop) if self.tokens[i].text[0].isalnum())

    def _take(self, mention: Mention) -> None:
        if all(self.free[mention.start : mention.stop]):
            self.free[mention.start : mention.stop] = [False] * (mention.stop - mention.start)
            self.mentions.append(mention)

    def _phrases(self, table: Phrases[bool] | Phrases[str], kind: Kind, several: int) -> None:
        """Phrases that begin with a capital or a number; ``several`` words need none."""
        places = [i for i, token in enumerate(self.tokens) if token.text[0].isalnum()]
        words = [self.words[i] for i in places]
        at = 0
        while at < len(places):
            hit, token = table.at(words, at), self.tokens[places[at]]
            if hit and (hit[0] > several or not token.is_word or token.is_capital):
                start, stop = places[at], places[at + hit[0] - 1] + 1
                self._take(Mention(start, stop, kind, self._key(start, stop)))
                at += hit[0]
            else:
                at += 1

    def _quoted(self) -> None:
        for match in _QUOTED.finditer(self.text, self.tokens[0].start, self.tokens[-1].stop):
            group = next(i for i in (1, 2, 3) if match[i])
            inside = [i for i, token in enumerate(self.tokens) if match.start(group) <= token.start < match.end(group)]
            if inside and match[group][0].isupper() and len(inside) <= 9:
                self._take(Mention(inside[0], inside[-1] + 1, "title", key_of(match[group])))

    def _superlatives(self) -> None:
        wanted, harmless = _superlatives()
        place = 0
        while place < len(self.tokens):
            hit, other = wanted.at(self.words, place), harmless.at(self.words, place)
            later = wanted.at(self.words, place + 1) if place + 1 < len(self.tokens) else None
            if hit and later and later[0] + 1 > hit[0]:
                hit = None
            if hit and not (other and other[0] >= hit[0]):
                self._take(Mention(place, place + hit[0], "superlative", self._key(place, place + hit[0])))
            place += max(hit[0] if hit else 0, other[0] if other else 0, 1)

    def _values(self) -> None:
        for place in range(len(self.tokens)):
            if not self.free[place] or not self.tokens[place].is_word:
                continue
            hit, inverted = self.phrases.meanings(self.stems, place), False
            if hit is None:
                rest = next((self.words[place][len(p) :] for p in _PREFIXES if self.words[place].startswith(p)), "")
                hit = self.phrases.meanings([stem(rest)], 0) if len(rest) > 3 else None
                inverted = hit is not None
            if hit:
                length, meanings = hit
                key = self._key(place, place + length)
                certain = not self.phrases.lexicon.is_ordinary(key)
                self._take(Mention(place, place + length, "value", key, meanings, None, inverted, certain))

    def _capitals(self) -> None:
        sets = _sets()
        longer = [token for token in self.tokens[1:] if token.is_word and len(token.text) > 3]
        shouted = len(longer) >= 4 and sum(t.is_capital for t in longer) > TITLE_CASE * len(longer)
        german = sum(word in sets["german"] for word in self.words) >= 2
        if all(token.text.isupper() for token in self.tokens if token.is_word):
            return
        place = 0
        while place < len(self.tokens):
            stop = self._capital_run(place)
            start = place
            while start < stop and (start in self.cues or self._is_empty(start)):
                start += 1
            while stop > start and (stop - 1 in self.cues or not self.tokens[stop - 1].is_word):
                stop -= 1
            if start < stop and not set(self.words[start:stop]) <= sets["not_names"]:
                alone = stop - start == 1
                initial = self._begins(start)
                certain = not shouted and not (alone and (initial or german))
                key = self._key(start, stop)
                self._take(Mention(start, stop, "name", key, certain=certain, initial=initial))
            place = max(stop, place + 1)

    def _is_empty(self, place: int) -> bool:
        """Whether a name cannot begin with this word: in small letters, or a function word at a beginning."""
        return not self.tokens[place].is_capital or (self._begins(place) and self.words[place] in _sets()["functions"])

    def _begins(self, place: int) -> bool:
        """Whether a capital is expected here: at the beginning, or after a sign other than a comma."""
        return place == 0 or not (self.tokens[place - 1].is_word or self.tokens[place - 1].text in ",&.")

    def _capital_run(self, place: int) -> int:
        """One past the last token of a run of capitals with particles between; the place itself if there is none."""
        stop, particles = place, _sets()["particles"]
        while stop < len(self.tokens) and self.free[stop]:
            token = self.tokens[stop]
            after = stop + 1 < len(self.tokens) and self.free[stop + 1] and self.tokens[stop + 1].is_capital
            dot = token.text == "." and stop > place and len(self.tokens[stop - 1].text) == 1 and after
            two = stop + 2 < len(self.tokens) and self.words[stop + 1] in particles and self.tokens[stop + 2].is_capital
            particle = stop > place and self.words[stop] in particles and (after or (two and self.free[stop + 2]))
            if not (token.is_capital or particle or dot):
                break
            stop += 1
            if token.possessive:
                break
        return stop
