"""Relations that the words around a mention claim, and whether they deny it: "directed by", "starring", "not"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from palate.generation.facts.mentions import Mention
from palate.generation.facts.sheet import NAMES, FactSheet, column_words
from palate.generation.facts.words import Phrases, Token, key_of, phrase_list, word_lists

PEOPLE = (*NAMES, "brand")
"""Relations of people and makers."""
FREE_WORDS = 2
"""Words of no known part that may stand between a mention and the words of its relation."""
JOINS = ("and", "or", "und", "et", "y", "e", "en")
ARTICLES = ("a", "an", "or", "nor", "and", "ein", "eine", "un", "une")
_HARD_STOPS = frozenset(";:()–—!?")


@dataclass(frozen=True)
class Cue:
    """Words that say a relation.

    Attributes:
        start: first token.
        stop: one past the last token.
        before: whether the value comes after them.
        relations: such as ``director``; several where the words fit several.
        weak: whether they count only where nothing else does.
    """

    start: int
    stop: int
    before: bool
    relations: tuple[str, ...]
    weak: bool = False


@dataclass(frozen=True)
class Link:
    """The relation of a mention.

    Attributes:
        relations: that the words around it say; empty for none.
        strong: whether they can mean nothing else.
        negated: whether it is denied.
    """

    relations: tuple[str, ...]
    strong: bool
    negated: bool


Entry = tuple[bool, str, bool]


@lru_cache(maxsize=1)
def _cues() -> Phrases[Entry]:
    lists = word_lists()
    table: Phrases[Entry] = Phrases()
    for name, relation in lists["relations"].items():
        for side in ("before", "weak", "after"):
            for text in relation.get(side, ()):
                table.add(key_of(text), (side != "after", name, side == "weak"))
    for name in lists["makers"]["relations"]:
        for side in ("before", "weak"):
            for text in lists["makers"][side]:
                table.add(key_of(text), (True, name, side == "weak"))
    return table


@lru_cache(maxsize=1)
def _lists() -> tuple[dict[str, frozenset[str]], dict[str, Phrases[bool]]]:
    lists = word_lists()
    sets = {name: frozenset(lists[name]) for name in ("links", "functions", "history")}
    sets["possessive"] = frozenset(lists["makers"]["possessive"])
    return sets, {name: phrase_list(name) for name in ("negators", "not_negators", "clause_ends")}


class Relations:
    """Cues, negations and clause ends of one sentence.

    Args:
        tokens: of the sentence.
        sheet: facts; the names of its columns are cues as well.
    """

    def __init__(self, tokens: Sequence[Token], sheet: FactSheet) -> None:
        self.tokens = tokens
        self.words = [token.folded for token in tokens]
        self.sets, self.phrases = _lists()
        self.sheet = sheet
        self.cues = self._find_cues()
        self.cue_places = {i for cue in self.cues for i in range(cue.start, cue.stop)}
        self.negators = self._find_negators()
        self.ends = self._find_ends()
        self.about_history = bool(self.sets["history"].intersection(self.words))

    def hide(self, mentions: Sequence[Mention]) -> None:
        """Leave out cues, negations and clause ends inside titles and names.

        Args:
            mentions: of the sentence.
        """
        inside = {i for m in mentions if m.kind in ("title", "name") for i in range(m.start, m.stop)}
        self.cues = [cue for cue in self.cues if not inside.issuperset(range(cue.start, cue.stop))]
        self.negators = [pair for pair in self.negators if not inside.issuperset(range(*pair))]
        self.ends -= inside

    def _find_cues(self) -> list[Cue]:
        columns: Phrases[Entry] = Phrases()
        for fact in self.sheet.own:
            words = column_words(fact.row.column)
            if not set(words) <= self.sets["functions"]:
                for relation in fact.relations:
                    columns.add(words, (True, relation, False))
        out = []
        for place in range(len(self.words)):
            for hit in (*_cues().every(self.words, place), *columns.every(self.words, place)):
                for before, weak in ((True, False), (False, False), (True, True)):
                    names = tuple(dict.fromkeys(name for b, name, w in hit[1] if b == before and w == weak))
                    if names:
                        out.append(Cue(place, place + hit[0], before, names, weak))
        # "directed by" is not also "directed"
        return [cue for cue in out if not any(_covers(other, cue) for other in out)]

    def _find_negators(self) -> list[tuple[int, int]]:
        out, place = [], 0
        while place < len(self.words):
            harmless = self.phrases["not_negators"].at(self.words, place)
            hit = self.phrases["negators"].at(self.words, place)
            if harmless:
                place += harmless[0]
            elif hit or self.words[place].endswith("n't"):
                length = hit[0] if hit else 1
                out.append((place, place + length))
                place += length
            else:
                place += 1
        return out

    def _find_ends(self) -> set[int]:
        """Places at which a clause ends, other than commas."""
        ends = {i for i, token in enumerate(self.tokens) if token.text in _HARD_STOPS}
        inside = {i for start, stop in self.negators for i in range(start, stop)}
        for place in range(len(self.words)):
            if place not in inside and self.phrases["clause_ends"].at(self.words, place):
                ends.add(place)
        return ends

    def link(self, mention: Mention, mentions: Sequence[Mention]) -> Link:
        """The relation of a mention and its polarity.

        Args:
            mention: one of the sentence.
            mentions: all of the sentence.
        """
        starts, stops = {m.start: m for m in mentions}, {m.stop: m for m in mentions}
        left = self._left(mention, stops, starts)
        right = self._right(mention, starts)
        chosen, far = left
        if right[0] and (chosen is None or chosen.weak or right[1] < far):
            chosen = right[0]
        if self._is_possessive(mention) and (chosen is None or chosen.weak or far > 0) and right[0] is None:
            makers = tuple(word_lists()["makers"]["relations"])
            chosen = Cue(mention.stop, mention.stop, False, makers)
        negated = self._is_negated(mention, chosen, mentions)
        if chosen is None:
            return Link((), False, negated)
        return Link(_fits(chosen, mention), not chosen.weak, negated)

    def _left(self, mention: Mention, stops: dict[int, Mention], starts: dict[int, Mention]) -> tuple[Cue | None, int]:
        place, free = mention.start, 0
        while place > 0:
            ending = [cue for cue in self.cues if cue.before and cue.stop == place and _fits(cue, mention)]
            if ending:
                return max(ending, key=lambda cue: (cue.stop - cue.start, not cue.weak)), mention.start - place
            other = stops.get(place)
            before = place - 1
            word, text = self.words[before], self.tokens[before].text
            if other is not None and other.kind in ("name", "value", "title"):
                place = other.start
            elif text in ",&:/" and not free and (place in starts or text == ":" or self.words[place] in JOINS):
                place = before
            elif before in self.ends or text in ",." or (free and word in JOINS) or self._is_other_cue(before):
                break
            elif word in self.sets["links"] or self._in_negator(before):
                place = before
            elif word not in self.sets["functions"] and free < FREE_WORDS:
                free += 1
                place = before
            else:
                break
        return None, 99

    def _right(self, mention: Mention, starts: dict[int, Mention]) -> tuple[Cue | None, int]:
        place = mention.stop
        while place < len(self.words):
            beginning = [cue for cue in self.cues if not cue.before and cue.start == place and _fits(cue, mention)]
            if beginning:
                return max(beginning, key=lambda cue: cue.stop), place - mention.stop
            word, text = self.words[place], self.tokens[place].text
            other = starts.get(place)
            if other is not None and other.kind == mention.kind and place > mention.stop:
                place = other.stop
            elif (
                text in ",&-("
                or word.endswith("ly")
                or self._in_negator(place)
                or (word in self.sets["links"] and word not in ("by", "with", "in", "of"))
            ):
                place += 1
            else:
                break
        return None, 99

    def _is_other_cue(self, place: int) -> bool:
        return place in self.cue_places and self.words[place] not in self.sets["links"] and not self._in_negator(place)

    def _in_negator(self, place: int) -> bool:
        return any(start <= place < stop for start, stop in self.negators)

    def _is_possessive(self, mention: Mention) -> bool:
        if not self.tokens[mention.stop - 1].possessive:
            return False
        return bool(self.sets["possessive"].intersection(self.words[mention.stop : mention.stop + 4]))

    def _is_negated(self, mention: Mention, cue: Cue | None, mentions: Sequence[Mention]) -> bool:
        count = 0
        for start, stop in self.negators:
            if stop <= mention.start:
                count += self._reaches(stop, mention.start, mentions)
            elif cue is not None and not cue.before and mention.stop <= start and stop <= cue.start:
                count += 1
            elif start >= mention.stop and (cue is None or cue.before):
                count += self._denies_subject(mention, start, stop, mentions)
        free = self.words[mention.stop : mention.stop + 1] == ["free"]
        return (count + mention.inverted + free) % 2 == 1

    def _reaches(self, place: int, start: int, mentions: Sequence[Mention]) -> bool:
        """Whether a negation that ends at a place still holds at a mention."""
        begins = {m.start: m for m in mentions}
        for at in range(place, start):
            if at in self.ends:
                return False
            joins = self.words[at] in JOINS and self.words[at] != "or"
            if self.tokens[at].text == "," or joins:
                after = at + 1
                while after < start and self.words[after] in ARTICLES:
                    after += 1
                following = begins.get(after)
                before = max((m for m in mentions if m.stop <= at), key=lambda m: m.stop, default=None)
                listed = following is not None and before is not None and following.kind == before.kind
                if not listed or after in {cue.start for cue in self.cues if cue.before}:
                    return False
        return True

    def _denies_subject(self, mention: Mention, start: int, stop: int, mentions: Sequence[Mention]) -> bool:
        """Whether "wool is not used" denies the wool: nothing else follows that could be denied."""
        if any(m.start >= stop and m.kind != "title" for m in mentions if not self._parted(stop, m.start)):
            return False
        between = self.words[mention.stop : start]
        return not self._parted(mention.stop, start) and all(word in self.sets["links"] for word in between)

    def _parted(self, start: int, stop: int) -> bool:
        return any(i in self.ends or self.tokens[i].text == "," for i in range(start, stop))


def _covers(longer: Cue, cue: Cue) -> bool:
    inside = longer.start <= cue.start and cue.stop <= longer.stop
    longer_by = (longer.stop - longer.start) - (cue.stop - cue.start)
    return inside and longer_by > 0 and bool(set(longer.relations).intersection(cue.relations))


def _fits(cue: Cue, mention: Mention) -> tuple[str, ...]:
    """Relations of a cue that a mention can stand in."""
    if mention.kind == "name":
        return tuple(name for name in cue.relations if name in PEOPLE)
    if mention.kind == "value":
        known = {relation for relation, _ in mention.meanings}
        return tuple(name for name in cue.relations if name in known)
    return tuple(name for name in cue.relations if name not in PEOPLE)
