"""Clarifying questions: templates by facet words, filled by rule or continued by a language model; their rank."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from palate.contracts import Constraint, Prompt
from palate.generation.flows.facets import Facet
from palate.generation.flows.item_values import contains, listed, words

TEMPLATES: tuple[tuple[str, str], ...] = (
    ("Are you looking for", "{choice}"),
    ("Would you like", "{choice}"),
    ("Do you prefer", "{choice}"),
    ("Are you interested in", "{choice}"),
    ("Did you have in mind", "{choice}"),
    ("Shall I look for", "{choice}"),
    ("Which {facet} do you want:", "{choice}"),
    ("Do you want to see results whose {facet} is", "{choice}"),
)
"""(beginning, continuation by rule) of a question."""
FEWEST, MOST = 3, 24
"""Words of a natural question."""
Naturalness = Callable[[Sequence[str]], Sequence[float]]
"""Questions -> values in 0..1, the higher the more natural."""


@dataclass(frozen=True)
class Question:
    """A question that can be asked.

    Attributes:
        text: the question.
        facet: its subject.
        naturalness: in 0..1.
        by_rule: whether it was filled by rule, not by a language model.
    """

    text: str
    facet: Facet
    naturalness: float = 0.0
    by_rule: bool = True

    def value(self, most_useful: float, weight: float) -> float:
        """Naturalness and usefulness in one number.

        Args:
            most_useful: bits of the most useful candidate, above 0.
            weight: of usefulness, in 0..1.
        """
        return weight * self.facet.usefulness / most_useful + (1.0 - weight) * self.naturalness


def beginnings(facet: Facet) -> list[str]:
    """Beginnings of the questions about a facet.

    Args:
        facet: its column is named in two of them.
    """
    return [start.replace("{facet}", label(facet.column)) for start, _ in TEMPLATES]


def by_rule(facet: Facet) -> list[str]:
    """Questions about a facet by templates alone.

    Args:
        facet: what is offered.
    """
    choice = listed(facet.values, "or") if len(facet.values) > 1 else facet.values[0]
    return [f"{start} {choice}?" for start in beginnings(facet)]


def prompts(facet: Facet, query: str | None) -> tuple[list[Prompt], Constraint]:
    """What a language model is asked, one prompt a template; and the facet words that must occur.

    Args:
        facet: what is offered.
        query: the searcher's words; data.
    """
    task = (
        "A shopper's search was not clear. Continue the question that asks which of the choices is meant. "
        "Mention every choice, nothing else, and end with a question mark."
    )
    data = {"search": query or "", "about": label(facet.column), "choices": ", ".join(facet.values)}
    asked = [Prompt(task, data, answer_start=start) for start in beginnings(facet)]
    return asked, Constraint(must_include=facet.values)


def cleaned(start: str, answer: str, facet: Facet) -> str | None:
    """A language model's continuation as one question.

    Args:
        start: how it begins.
        answer: what was answered, with or without the beginning.
        facet: what must be offered.

    Returns:
        The question up to its first question mark; None where a choice is lacking or there is no question.
    """
    body = answer.strip()
    text = body if body.casefold().startswith(start.casefold()) else f"{start} {body}"
    head, mark, _ = text.partition("?")
    said = words(head)
    complete = mark and all(contains(said, words(value)) for value in facet.values)
    return " ".join(f"{head.rstrip()}?".split()) if complete and len(said) <= MOST else None


def plainness(texts: Sequence[str]) -> list[float]:
    """Naturalness by rule: the share of six signs of a plain English question that a text shows.

    It is one sentence, ends with its only question mark, begins with a capital letter, has 3 to 24 words, repeats no
    word of four letters or more, and has neither brackets, underscores nor a word in capitals.

    Args:
        texts: questions.
    """
    values = []
    for text in texts:
        said = words(text)
        long = [word for word in said if len(word) > 3]
        signs = (
            not re.search(r"[.!;]\s", text),
            text.endswith("?") and text.count("?") == 1,
            text[:1].isupper(),
            FEWEST <= len(said) <= MOST,
            len(set(long)) == len(long),
            not re.search(r"[\[\]{}<>_|]|\b[A-Z]{4,}\b", text),
        )
        values.append(sum(signs) / len(signs))
    return values


def label(column: str) -> str:
    """A column's name as words: ``release_year`` and ``releaseYear`` are ``release year``.

    Args:
        column: its name.
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return " ".join(re.sub(r"[_\W]+", " ", apart).split()).casefold() or column
