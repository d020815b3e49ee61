"""Answers of language models as values: a line, JSON, a choice, a number, a list; and filters of lists.

Parsers return None where the answer is not of their kind; the caller decides what follows from that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from palate.generation.facts.words import fold, key_of

_FENCE = re.compile(r"```\w*\n?|```")
_LABEL = re.compile(r"^\s*(?:[\[(](\d{1,2}|[A-Za-z])[\])][.:]?|(\d{1,2}|[A-Za-z])(?:[.:)](?=\s|$)|\s*$))")
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):])\s*")
_NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)?")


def first_line(text: str) -> str | None:
    """The first line that is not empty, without quotes around it.

    Args:
        text: the answer.
    """
    line = next((line.strip() for line in _FENCE.sub("", text).splitlines() if line.strip()), "")
    quoted = re.fullmatch(r"[\"'“„«‘](.+)[\"'”“»’]", line)
    return (quoted[1] if quoted else line) or None


def parse_json(text: str) -> Any | None:
    """The first JSON object or list in an answer, also between other words.

    Args:
        text: the answer.
    """
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[{\[]", text):
        try:
            return decoder.raw_decode(text, match.start())[0]
        except json.JSONDecodeError:
            continue
    return None


def parse_choice(text: str, choices: Sequence[str]) -> int | None:
    """Place of the choice that an answer names: its words, its number or letter, or the only one that occurs.

    Args:
        text: the answer.
        choices: what it may be.
    """
    line = first_line(text) or ""
    keys = [key_of(choice) for choice in choices]
    if key_of(line) in keys:
        return keys.index(key_of(line))
    label = _LABEL.match(line)
    if label:
        sign = next(group for group in label.groups() if group)
        place = int(sign) - 1 if sign.isdigit() else ord(fold(sign)) - ord("a")
        return place if 0 <= place < len(choices) else None
    words = f" {' '.join(key_of(text))} "
    named = [place for place, key in enumerate(keys) if key and f" {' '.join(key)} " in words]
    # "dark comedy" also has "comedy": the longer one is meant
    phrases = {place: f" {' '.join(keys[place])} " for place in named}
    named = [a for a in named if not any(a != b and phrases[a] in phrases[b] for b in named)]
    return named[0] if len(named) == 1 else None


def parse_number(text: str, low: float = float("-inf"), high: float = float("inf")) -> float | None:
    """The first number of an answer; None where there is none or it is out of range.

    Args:
        text: the answer.
        low: lowest that it may be.
        high: highest.
    """
    match = _NUMBER.search(text)
    if match is None:
        return None
    value = float(match[0].replace("−", "-").replace(",", "."))
    return value if low <= value <= high else None


def parse_list(text: str) -> list[str] | None:
    """Entries of a list: lines with or without bullets and numbers, JSON texts, or one line with commas.

    Args:
        text: the answer.
    """
    found = parse_json(text)
    if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
        return [one.strip() for one in found if one.strip()]
    lines = [line for line in _FENCE.sub("", text).splitlines() if line.strip()]
    bulleted = [line for line in lines if _BULLET.match(line)]
    if bulleted:
        entries = [_BULLET.sub("", line) for line in bulleted]
    else:
        entries = lines if len(lines) > 1 else re.split(r"[,;]", lines[0] if lines else "")
    entries = [entry.strip(" \t\"'“”.") for entry in entries]
    return [entry for entry in entries if entry] or None


def keep_known(entries: Iterable[str], known: Collection[str]) -> list[str]:
    """Entries that are known, in the known spelling.

    Args:
        entries: of a list.
        known: what may be said.
    """
    spellings = {key_of(one): one for one in known}
    return [spellings[key] for entry in entries if (key := key_of(entry)) in spellings]


def keep_distinct(entries: Iterable[str]) -> list[str]:
    """Entries that differ by more than case, accents and signs; the first of each stays.

    Args:
        entries: of a list.
    """
    out: dict[tuple[str, ...], str] = {}
    for entry in entries:
        out.setdefault(key_of(entry), entry)
    return list(out.values())


def keep_short(entries: Iterable[str], words: int) -> list[str]:
    """Entries of at most so many words.

    Args:
        entries: of a list.
        words: at most.
    """
    return [entry for entry in entries if len(entry.split()) <= words]
