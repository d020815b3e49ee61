"""Claims of a text about an item, and whether the facts bear them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from palate.contracts import Evidence

Kind = Literal["name", "value", "number", "year", "date", "title", "superlative", "quotation"]
Verdict = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True)
class Claim:
    """Something that a text says and that can be looked up.

    Attributes:
        sentence: position of its sentence.
        start: first character of the words that carry it.
        stop: one past their last.
        text: these words.
        kind: what they are.
        columns: columns that the claim is about, as far as the words around it tell.
        negated: whether it is denied ("not a comedy").
        verdict: supported; contradicted, where the facts say otherwise; unsupported, where they say nothing.
        evidence: the facts that bear it out or contradict it.
    """

    sentence: int
    start: int
    stop: int
    text: str
    kind: Kind
    columns: tuple[str, ...]
    negated: bool
    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class FactReport:
    """The claims of a text.

    Attributes:
        text: the text.
        sentences: (start, stop) of each sentence.
        claims: in the order of the text.
    """

    text: str
    sentences: tuple[tuple[int, int], ...]
    claims: tuple[Claim, ...]

    @property
    def factual(self) -> float:
        """Share of the claims that are supported; 1 where nothing is claimed."""
        return (
            sum(claim.verdict == "supported" for claim in self.claims) / max(len(self.claims), 1)
            if self.claims
            else 1.0
        )

    @property
    def false_claims(self) -> tuple[Claim, ...]:
        """Claims that are contradicted or unsupported."""
        return tuple(claim for claim in self.claims if claim.verdict != "supported")

    @property
    def unsupported_sentences(self) -> tuple[str, ...]:
        """Sentences with at least one claim that is contradicted or unsupported."""
        places = sorted({claim.sentence for claim in self.false_claims})
        return tuple(self.text[slice(*self.sentences[place])] for place in places)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Facts that bear out the supported claims, each once."""
        rows: dict[tuple[str, str, str], Evidence] = {}
        for claim in self.claims:
            if claim.verdict == "supported":
                rows.update({(row.source, row.id, row.column): row for row in claim.evidence})
        return tuple(rows.values())


class Verifier(Protocol):
    """A check of texts against facts."""

    def check(self, text: str, item: Mapping[str, Any], evidence: Sequence[Evidence] = ()) -> FactReport:
        """The claims of a text, each with its verdict.

        Args:
            text: what was generated.
            item: columns of the item that it is about.
            evidence: what else may be said.
        """
        ...

    def repair(self, text: str, item: Mapping[str, Any], evidence: Sequence[Evidence] = ()) -> str | None:
        """The text without what is not supported; None where too little would be left.

        Args:
            text: what was generated.
            item: columns of the item that it is about.
            evidence: what else may be said.
        """
        ...
