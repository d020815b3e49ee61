"""Languages of the templates: one file each, with its patterns, phrases, lists, quotes and plurals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

DEFAULT = "en"


@dataclass(frozen=True)
class Language:
    """How one language says things.

    Attributes:
        code: BCP 47 code.
        file: what its file says.
    """

    code: str
    file: Mapping[str, Any]

    @property
    def spaced(self) -> bool:
        """Whether sentences are parted by a space."""
        return bool(self.file.get("spaced", True))

    def sections(self, kind: str) -> Sequence[Sequence[Sequence[str]]]:
        """Sections of a kind: each a list of tiers, and these of patterns; the first tier that can be said is taken.

        Args:
            kind: kind of content.
        """
        found: Sequence[Sequence[Sequence[str]]] = self.file["kinds"].get(kind, ())
        return found

    def listing(self, parts: Sequence[str]) -> str:
        """Parts as a list, such as "a, b and c".

        Args:
            parts: at least one.
        """
        comma, last = self.file["comma"], self.file["and"]
        return parts[0] if len(parts) == 1 else comma.join(parts[:-1]) + last + parts[-1]

    def clauses(self, parts: Sequence[str]) -> str:
        """Phrases as a list, where the language lists them in another way than words.

        Args:
            parts: at least one.
        """
        return str(self.file["clauses"]).join(parts) if "clauses" in self.file else self.listing(parts)

    def quoted(self, text: str) -> str:
        """A text in the quotation marks of the language; one in another direction is kept apart.

        Args:
            text: a title.
        """
        opening, closing = self.file["quotes"]
        return f"{opening}{isolated(text)}{closing}"

    def phrase(self, form: str, role: str, values: Sequence[str], label: str) -> str:
        """What a fact tells, as a part of a sentence.

        Args:
            form: ``post`` follows a noun, ``pred`` is a predicate.
            role: what the column tells.
            values: one or more.
            label: the column's name, for what has no phrase of its own.
        """
        text = self.file[form].get(role, self.file[form]["other"])
        if isinstance(text, Mapping):
            text = text["one" if len(values) == 1 else "other"]
        written = [self.number(role, value) for value in values]
        return str(text).replace("{label}", label).replace("{v}", self.listing([isolated(one) for one in written]))

    def count(self, number: int) -> str:
        """How many people took an item, in the right plural.

        Args:
            number: at least 1.
        """
        forms = self.file["taken"]
        return str(forms[self._plural(number)]).replace("{n}", self.grouped(number))

    def label(self, role: str, column: str) -> str:
        """What a column is called.

        Args:
            role: what it tells.
            column: its name as words.
        """
        return str(self.file["labels"].get(role, column))

    def grouped(self, number: int) -> str:
        """A whole number with separators of thousands.

        Args:
            number: the number.
        """
        return f"{number:,}".replace(",", self.file["thousands"]) if number >= 10_000 else str(number)

    def number(self, role: str, value: str) -> str:
        """A value as this language writes it: the decimal sign of prices.

        Args:
            role: what the column tells.
            value: the value.
        """
        decimal = self.file["decimal"]
        plain = role == "price" and value.replace(".", "", 1).isdigit()
        return value.replace(".", decimal) if plain and decimal != "." else value

    def _plural(self, number: int) -> str:
        forms = self.file["taken"]
        if number == 1 and "one" in forms:
            return "one"
        few = 2 <= number % 10 <= 4 and not 12 <= number % 100 <= 14
        return "few" if few and "few" in forms else "other"


def isolated(text: str) -> str:
    """A text whose letters run from right to left, between marks that keep it from turning its surroundings.

    Args:
        text: any text.
    """
    turns = any("\u0590" <= letter <= "\u08ff" or "\ufb1d" <= letter <= "\ufefc" for letter in text)
    return f"\u2068{text}\u2069" if turns else text


@lru_cache(1)
def languages() -> Mapping[str, Language]:
    """All languages by code."""
    folder = files(__package__).joinpath("languages")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            code = file.name.removesuffix(".yaml")
            found[code] = Language(code, yaml.safe_load(file.read_text(encoding="utf-8")))
    return found


@lru_cache(1)
def question_words() -> Mapping[str, tuple[str, ...]]:
    """Words that ask for each role, in all languages: a question may be in another language than the answer."""
    words: dict[str, list[str]] = {}
    for language in languages().values():
        for role, own in language.file["ask"].items():
            words.setdefault(role, []).extend(str(word) for word in own)
    return {role: tuple(dict.fromkeys(each)) for role, each in words.items()}


def language_of(code: str) -> tuple[Language, bool]:
    """The language for a code, and whether it is the one that was asked for.

    Args:
        code: BCP 47 code, such as ``pt-BR``; English stands in for an unknown one.
    """
    known = languages()
    primary = code.replace("_", "-").split("-")[0].lower()
    return known.get(primary, known[DEFAULT]), primary in known
