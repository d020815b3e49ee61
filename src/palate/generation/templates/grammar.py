"""A small grammar of sentences: ``{slot}``, ``[clause that may be left out]`` and ``<one|or another>``.

Patterns come from files of the library, never from data: a slot's text is put in as it is and not read again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from palate.core.errors import ConfigError

CLAUSE_SHARE = 0.6
"""How often a clause that may be left out is said."""


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern.

    Attributes:
        text: literal text, or the name of a slot.
        kind: ``text``, ``slot``, ``clause``, ``choice`` or ``all``.
        parts: of a clause, a choice or a sequence.
    """

    kind: str
    text: str = ""
    parts: tuple[Pattern, ...] = ()

    def usable(self, slots: Collection[str]) -> bool:
        """Whether it can be said.

        Args:
            slots: names of the slots that have a text.
        """
        if self.kind == "slot":
            return self.text in slots
        if self.kind == "choice":
            return any(part.usable(slots) for part in self.parts)
        return self.kind != "all" or all(part.usable(slots) for part in self.parts)


def fill(pattern: Pattern, slots: Mapping[str, str], rng: np.random.Generator, clauses: bool) -> tuple[str, list[str]]:
    """Say a usable pattern.

    Args:
        pattern: the pattern.
        slots: name -> text.
        rng: decides what is said of several.
        clauses: whether clauses that may be left out are said at all.

    Returns:
        The text, and the names of the slots that it holds.
    """
    if pattern.kind == "text":
        return pattern.text, []
    if pattern.kind == "slot":
        return slots[pattern.text], [pattern.text]
    parts = pattern.parts
    if pattern.kind == "choice":
        usable = [part for part in parts if part.usable(slots)]
        return fill(usable[int(rng.integers(len(usable)))], slots, rng, clauses)
    if pattern.kind == "clause":
        said = rng.random() < CLAUSE_SHARE and clauses
        if not said or not parts[0].usable(slots):
            return "", []
    filled = [fill(part, slots, rng, clauses) for part in parts]
    return "".join(text for text, _ in filled), [name for _, names in filled for name in names]


@lru_cache(maxsize=4096)
def parse(text: str) -> Pattern:
    """A pattern by its text.

    Args:
        text: of a file of the library.

    Raises:
        ConfigError: for brackets that are not closed.
    """
    pattern, at = _sequence(text, 0, "")
    if at != len(text):
        raise ConfigError("a bracket is not closed, or not opened", key=text)
    return pattern


def _sequence(text: str, at: int, stop: str) -> tuple[Pattern, int]:
    parts, literal = list[Pattern](), ""
    while at < len(text) and text[at] not in stop:
        letter = text[at]
        if letter not in "{[<":
            if letter in "}]>":
                break
            literal, at = literal + letter, at + 1
            continue
        if literal:
            parts.append(Pattern("text", literal))
            literal = ""
        part, at = _bracket(text, at)
        parts.append(part)
    if literal:
        parts.append(Pattern("text", literal))
    return Pattern("all", parts=tuple(parts)), at


def _bracket(text: str, at: int) -> tuple[Pattern, int]:
    if text[at] == "{":
        end = text.find("}", at)
        if end < 0:
            raise ConfigError("a bracket is not closed, or not opened", key=text)
        return Pattern("slot", text[at + 1 : end]), end + 1
    closing, separator = ("]", "") if text[at] == "[" else (">", "|")
    options, at = list[Pattern](), at + 1
    while True:
        option, at = _sequence(text, at, closing + separator)
        options.append(option)
        if at >= len(text) or text[at] not in closing + separator:
            raise ConfigError("a bracket is not closed, or not opened", key=text)
        at += 1
        if text[at - 1] == closing:
            return Pattern("clause" if closing == "]" else "choice", parts=tuple(options)), at
