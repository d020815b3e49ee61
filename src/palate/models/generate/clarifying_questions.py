"""Zero-shot clarifying questions (Wang et al., WWW 2023): templates x facet words, ranked.

A result list is divided by its facets: columns whose values differ among the results. For each of the most useful
facets and each of eight beginnings ("Are you looking for ...") a language model continues the question under the
constraint that the facet's words occur; no training. Candidates are ranked by

    usefulness_weight u(q) / max u + (1 - usefulness_weight) n(q),

u: the expected information of the answer in bits (the entropy of the parts into which the answers divide the list),
n: naturalness in 0..1.

Ours: without a language model, or where it cannot keep the words, the beginnings are filled by rule; naturalness is the
mean log-probability of the language model where it tells one, else signs of a plain question, or any scorer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from palate.contracts import Evidence, Generated, GenerationRequest, Prompt, ScoringBackend, generators
from palate.core.config import ModelConfig
from palate.generation.flows.dialogue import ClarifyingDialogue
from palate.generation.flows.facets import Facet
from palate.generation.flows.generator import FlowConfig, FlowGenerator
from palate.generation.flows.questions import (
    Naturalness,
    Question,
    beginnings,
    by_rule,
    cleaned,
    plainness,
    prompts,
)


@generators.register("clarifying_questions")
class ClarifyingQuestions(FlowGenerator):
    """The question whose answer divides the current results best, asked naturally.

    Options of a request: ``results`` (id and columns of each, best first; else the item and the history), ``weights``
    (how probable each is), ``asked`` ((column, value) pairs offered before), ``columns`` (that may be asked for).
    """

    name = "clarifying_questions"
    paper = "Wang et al., Zero-shot Clarifying Question Generation for Conversational Search, WWW 2023"
    kinds = ("clarifying_question",)

    class Config(FlowConfig):
        """Settings of the ranking."""

        facets: int = Field(3, ge=1, description="most useful facets that candidates are made of")
        usefulness_weight: float = Field(0.7, ge=0, le=1, description="of usefulness against naturalness")

    config: Config

    def __init__(
        self, config: ModelConfig | None = None, *, naturalness: Naturalness | None = None, **settings: Any
    ) -> None:
        super().__init__(config, **settings)
        self._naturalness = naturalness

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        self.check_kinds(requests)
        return [self._generated(request, seed) for request in requests]

    def questions(
        self, dialogue: ClarifyingDialogue, query: str | None = None, *, facets: Sequence[Facet] = (), seed: int = 0
    ) -> list[Question]:
        """Candidates, the best first.

        Args:
            dialogue: the results and what was asked.
            query: the searcher's words; data.
            facets: what to ask about; the most useful facets by default.
            seed: of the language model.
        """
        chosen = list(facets) or dialogue.facets(self.config.facets)
        found = [question for facet in chosen for question in self._about(facet, query, seed)]
        natural = self._natural([one.text for one in found], query)
        found = [replace(one, naturalness=float(value)) for one, value in zip(found, natural, strict=True)]
        most = max((facet.usefulness for facet in chosen), default=0.0) or 1.0
        return sorted(found, key=lambda one: -one.value(most, self.config.usefulness_weight))

    def _about(self, facet: Facet, query: str | None, seed: int) -> list[Question]:
        filled = by_rule(facet)
        asked, constraint = prompts(facet, query)
        answers = self.ask(asked, [constraint] * len(asked), seed=seed)
        out = []
        for start, rule, answer in zip(beginnings(facet), filled, answers, strict=True):
            text = None if answer is None else cleaned(start, answer, facet)
            out.append(Question(text or rule, facet, by_rule=text is None))
        return out

    def _natural(self, texts: Sequence[str], query: str | None) -> Sequence[float]:
        if self._naturalness is not None or not texts:
            return self._naturalness(texts) if self._naturalness is not None else []
        backend = self.backend
        if backend is None or not isinstance(backend, ScoringBackend):
            return plainness(texts)
        asked = Prompt("Ask the shopper a clarifying question.", {"search": query or ""})
        likely = backend.log_likelihood([asked] * len(texts), texts)
        # the geometric mean of the token probabilities
        return [math.exp(value / max(1, backend.count(text))) for value, text in zip(likely, texts, strict=True)]

    def _generated(self, request: GenerationRequest, seed: int) -> Generated:
        options = request.options
        items: Sequence[Mapping[str, Any]] = options.get("results") or [request.item, *request.history]
        dialogue = ClarifyingDialogue(items, options.get("weights"), options.get("columns"))
        dialogue.asked = [(column, value) for column, value in options.get("asked", ())]
        found = self.questions(dialogue, request.prompt, seed=seed)
        if request.max_words is not None:
            found = [one for one in found if len(one.text.split()) <= request.max_words]
        if not found:
            return Generated(provenance=self.provenance(seed, fallback="no facet divides the results"))
        best = found[0]
        column, values = best.facet.column, best.facet.values
        # one item of the list for each value that is offered
        having = [items[int(dialogue.table.rows[column][value][0])] for value in values]
        evidence = [Evidence("catalog", _id(item), column, value) for item, value in zip(having, values, strict=True)]
        scores = {"useful_bits": best.facet.usefulness, "natural": best.naturalness}
        reason = "filled by rule" if best.by_rule and self.backend is not None else None
        made = self.provenance(seed, reason, facet=column, choices=" | ".join(values))
        return Generated(best.text, evidence=evidence, provenance=made, scores=scores)


def _id(item: Mapping[str, Any]) -> str:
    return str(next(iter(item.values()), ""))
