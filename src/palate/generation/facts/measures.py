"""Numbers with units, ranges, years, decades and dates in a text, in digits and in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from palate.data.numbers_in_text import parse_number
from palate.generation.facts.words import Phrases, Token, key_of, word_lists

MeasureKind = Literal["number", "year", "decade", "date"]
COARSE = 0.125
"""Share of a unit by which "two hours" may differ from a length in minutes."""
_NUMERIC_DATE = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b|\b(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})\b")
_FILLERS = frozenset({"of", "de", "del", "di", ".", ",", "st", "nd", "rd", "th", "the"})


@dataclass(frozen=True)
class Measure:
    """A number, year or date.

    Attributes:
        start: first token.
        stop: one past the last token.
        kind: ``number``, ``year``, ``decade`` or ``date``.
        low: lower end, in the first unit of the dimension; of a date the year, 0 where it has none.
        high: upper end.
        dimension: ``time``, ``money`` ...; empty without a unit.
        unit: size of the unit that was written.
        bound: ``exact``, ``about``, ``below``, ``above``, ``least`` or ``most``.
        spelled: whether it is written in words.
        days: possible (month, day) of a date; day 0 where it has none.
    """

    start: int
    stop: int
    kind: MeasureKind
    low: float
    high: float
    dimension: str = ""
    unit: float = 1.0
    bound: str = "exact"
    spelled: bool = False
    days: tuple[tuple[int, int], ...] = ()

    def agrees(self, fact: Measure) -> bool:
        """Whether what is claimed here is true of a fact.

        Args:
            fact: a measure of the facts.
        """
        if self.kind == "date":
            same_day = any((a[0] == b[0] and 0 in (a[1], b[1])) or a == b for a in self.days for b in fact.days)
            return fact.kind == "date" and same_day and (self.low in (0, fact.low) or fact.low == 0)
        if self.kind == "decade":
            return fact.kind in ("year", "date", "decade") and self.low <= fact.low <= self.high
        if self.kind == "year":
            return fact.kind in ("year", "date", "number") and self.low <= fact.low <= self.high
        if fact.kind == "date" or (self.dimension and fact.dimension not in ("", self.dimension)):
            return False
        slack = COARSE * self.unit if self.unit > fact.unit and self.dimension == "time" else 0.005 * self.unit
        near = {"about": 0.9, "below": 0.85, "above": 1.0, "least": 1.0, "most": 0.5}.get(self.bound, 1.0)
        far = {"about": 1.1, "below": 1.0, "above": 1.25, "least": 2.0, "most": 1.0}.get(self.bound, 1.0)
        return near * self.low - slack <= fact.low and fact.high <= far * self.high + slack


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, float], dict[str, int], dict[str, int], dict[str, tuple[str, float]], Phrases[str]]:
    lists = word_lists()
    units = {
        word: (dimension, float(size))
        for dimension, sizes in lists["units"].items() for size, words in sizes.items() for word in words
    }  # fmt: skip
    bounds: Phrases[str] = Phrases((key_of(text), b) for b, texts in lists["approximate"].items() for text in texts)
    integers = [{word: int(value) for word, value in lists[name].items()} for name in ("months", "decades")]
    return {w: float(v) for w, v in lists["numbers"].items()}, integers[0], integers[1], units, bounds


def find_measures(text: str, tokens: Sequence[Token]) -> list[Measure]:
    """All measures of a text, left to right, without overlap.

    Args:
        text: the text whose places the tokens have.
        tokens: of the text or of a part of it.
    """
    out: list[Measure] = []
    place, words = 0, [token.folded for token in tokens]
    while place < len(tokens):
        measure = _date(text, tokens, words, place) or _year(tokens, words, place) or _amount(tokens, words, place)
        if measure is None:
            place += 1
            continue
        out.append(replace(measure, bound=_bound(words, place)))
        place = max(measure.stop, place + 1)
    return out


def _bound(words: Sequence[str], place: int) -> str:
    bounds = _tables()[4]
    for length in (3, 2, 1):
        start = place - length
        found = bounds.at(words, start) if start >= 0 else None
        if found and found[0] == length:
            return found[1][0]
    return "exact"


def _date(text: str, tokens: Sequence[Token], words: Sequence[str], place: int) -> Measure | None:
    if tokens[place].is_number and (match := _NUMERIC_DATE.match(text, tokens[place].start)):
        stop = next((i for i in range(place, len(tokens)) if tokens[i].start >= match.end()), len(tokens))
        year, *days = (match[1], match[2], match[3]) if match[1] else (match[6], match[5], match[4])
        pairs = [(int(days[0]), int(days[1])), (int(days[1]), int(days[0]))][: 1 if match[1] else 2]
        return Measure(place, stop, "date", int(year), int(year), days=tuple(p for p in pairs if 1 <= p[0] <= 12))
    months = _tables()[1]
    day, at = 0, place
    if tokens[place].is_number and tokens[place].text.isdecimal() and 1 <= int(tokens[place].text) <= 31:
        day, at = int(tokens[place].text), _skip(words, place + 1)
    if at >= len(tokens) or words[at] not in months or (not day and not tokens[at].is_capital):
        return None
    month, stop = months[words[at]], at + 1
    if not day and stop < len(tokens) and tokens[stop].text.isdecimal() and int(tokens[stop].text) <= 31:
        day, stop = int(tokens[stop].text), stop + 1
    after = _skip(words, stop)
    year = _four_digits(tokens[after]) if after < len(tokens) else 0
    stop = after + 1 if year else stop
    return Measure(place, stop, "date", year, year, days=((month, day),)) if day or year else None


def _skip(words: Sequence[str], place: int) -> int:
    while place < len(words) and words[place] in _FILLERS:
        place += 1
    return place


def _four_digits(token: Token) -> int:
    return int(token.text) if token.text.isdecimal() and len(token.text) == 4 and 1850 <= int(token.text) <= 2100 else 0


def _year(tokens: Sequence[Token], words: Sequence[str], place: int) -> Measure | None:
    token, decades = tokens[place], _tables()[2]
    if words[place] in decades:
        low = 1900 + decades[words[place]]
        return Measure(place, place + 1, "decade", low, low + 9, spelled=True)
    apostrophe = token.text in "'’‘" and place + 1 < len(tokens) and tokens[place + 1].start == token.stop
    digits = tokens[place + 1] if apostrophe else token
    stop = place + 1 + apostrophe
    suffix = stop + (stop < len(tokens) and tokens[stop].text in "'’")
    decade = suffix < len(tokens) and words[suffix] in ("s", "er", "ers") and tokens[suffix].start <= digits.stop + 1
    year = _four_digits(digits)
    if not year and len(digits.text) == 2 and digits.text.isdecimal() and (apostrophe or decade):
        year = (1900 if int(digits.text) >= 30 else 2000) + int(digits.text)
    if decade and year % 10 == 0 and year:
        return Measure(place, suffix + 1, "decade", year, year + 9)
    if year and _unit(words, stop) is None and tokens[place - 1 if place else 0].text not in ("$", "€", "£"):
        last = _range_end(tokens, words, stop)
        final = _four_digits(tokens[last]) if last else 0
        return Measure(place, last + 1 if final else stop, "year", year, final or year)
    if words[place] in ("nineteen", "two", "twenty"):
        return _spelled_year(words, place)
    return None


def _spelled_year(words: Sequence[str], place: int) -> Measure | None:
    thousand = words[place : place + 2] == ["two", "thousand"]
    if words[place] == "two" and not thousand:
        return None
    rest = place + 1 + thousand + (words[place + 2 : place + 3] == ["and"] if thousand else 0)
    value, length = _spelled(words, rest)
    if words[place] == "twenty" and not 10 <= value <= 30:
        return None
    if (not length and not thousand) or not (0 if thousand else 10) <= value <= 99:
        return None
    year = (1900 if words[place] == "nineteen" else 2000) + int(value)
    return Measure(place, rest + length, "year", year, year, spelled=True)


def _spelled(words: Sequence[str], place: int) -> tuple[float, int]:
    """(value, number of words) of a number below 1,000 in words; (0, 0) if there is none."""
    numbers = _tables()[0]
    value, at = 0.0, place
    if words[at : at + 2] in (["a", "hundred"], ["one", "hundred"]) or words[at : at + 1] == ["hundred"]:
        at += 1 if words[at] == "hundred" else 2
        value = 100
        at += words[at : at + 1] == ["and"] and at + 1 < len(words) and words[at + 1] in numbers
    if at < len(words) and words[at] in numbers:
        value, tens, at = value + numbers[words[at]], numbers[words[at]], at + 1
        if tens >= 20 and tens % 10 == 0 and at < len(words) and 0 < numbers.get(words[at], 0) < 10:
            value, at = value + numbers[words[at]], at + 1
    return value, at - place


def _unit(words: Sequence[str], place: int) -> tuple[str, float] | None:
    units = _tables()[3]
    while place < len(words) and words[place] in ("-", "full", "short", "long", "whole"):
        place += 1
    return units.get(words[place]) if place < len(words) else None


def _range_end(tokens: Sequence[Token], words: Sequence[str], place: int) -> int:
    """Place of the number that ends a range, 0 if there is none."""
    joined = place + 1 < len(tokens) and words[place] in ("-", "–", "—", "to", "bis", "a", "or", "and")
    return place + 1 if joined and tokens[place + 1].is_number else 0


def _number(tokens: Sequence[Token], words: Sequence[str], place: int) -> tuple[float, int, bool]:
    if tokens[place].is_number:
        number = parse_number(tokens[place].text)
        value = number.value(".") if number else None
        if number and number.decimal == "?":
            value = float(re.sub(r"\D", "", number.digits))
        return (value or 0.0, 1, False) if value is not None else (0.0, 0, False)
    value, length = _spelled(words, place)
    return value, length, True


def _amount(tokens: Sequence[Token], words: Sequence[str], place: int) -> Measure | None:
    sign = _tables()[3].get(words[place]) if not tokens[place].text[0].isalnum() and words[place] in "$€£¥" else None
    if words[place : place + 3] in (["half", "an", "hour"], ["half", "a", "hour"]):
        return Measure(place, place + 3, "number", 30, 30, "time", 60, spelled=True)
    start = place + (sign is not None)
    if start >= len(tokens):
        return None
    value, length, spelled = _number(tokens, words, start)
    if not length and words[start] in ("a", "an") and _unit(words, start + 1) == ("time", 60.0):
        value, length, spelled = 1, 1, True
    if not length:
        return None
    stop = start + length
    if words[stop : stop + 3] == ["and", "a", "half"]:
        value, stop = value + 0.5, stop + 3
    last = _range_end(tokens, words, stop)
    high = _number(tokens, words, last)[0] if last and words[stop] not in ("a", "or", "and") else value
    stop = last + 1 if high != value else stop
    if stop < len(tokens) and words[stop] in ("st", "nd", "rd", "th") and tokens[stop].start == tokens[stop - 1].stop:
        stop += 1
    unit = sign or _unit(words, stop)
    if unit is None:
        return Measure(place, stop, "number", value, high, spelled=spelled)
    while not sign and words[stop] in ("-", "full", "short", "long", "whole"):
        stop += 1
    dimension, size = unit
    stop += _tables()[3].get(words[stop], ("", 0))[0] == dimension if stop < len(words) else 0
    low, high = value * size, high * size
    if dimension == "time" and size == 60:
        low, high, stop, size = _minutes(tokens, words, stop, low, high)
    return Measure(place, stop, "number", low, high, dimension, size, spelled=spelled)


def _minutes(
    tokens: Sequence[Token], words: Sequence[str], place: int, low: float, high: float
) -> tuple[float, float, int, float]:
    """Minutes after hours: "and 21 minutes", "21"; or "and a half"."""
    if words[place : place + 3] == ["and", "a", "half"]:
        return low + 30, high + 30, place + 3, 60
    after = place + (words[place : place + 1] in (["and"], ["und"], ["et"], ["y"], ["e"], ["en"], [","]))
    if after < len(tokens):
        value, length, _ = _number(tokens, words, after)
        unit = _unit(words, after + length) if length else None
        if length and (unit == ("time", 1.0) or (after == place and tokens[after].start == tokens[after - 1].stop)):
            return low + value, high + value, after + length + (unit == ("time", 1.0)), 1
    return low, high, place, 60
