"""Prompted: every kind of text by a language model that is told the item, the reader's taste and solved examples.

An answer is shown only if it is of its kind, within its length, does not repeat its instruction, and says nothing that
catalogue and history do not bear out: what is wrong is mended or left out (:mod:`palate.generation.facts`). Where
nothing is left, or the model fails, the templates write the text, and its provenance says so.

In-context examples (Brown et al. 2020) are items of the user's history with texts of the templates; reasons before the
answer are zero-shot chain of thought (Kojima et al. 2022). Of several candidates the one is taken that needs the least
mending, then the one that says most of the user's taste.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from pydantic import Field

from palate.contracts import Constraint, Evidence, Generated, GenerationRequest, Prompt, Sampling, generators
from palate.contracts.generator import ContentKind, TextKind
from palate.core.errors import BackendError, UnsupportedError
from palate.generation.evidence import facts_of, item_id, may_be_said
from palate.generation.facts import FactChecker, FactualScorer
from palate.generation.facts.scorer import history_evidence
from palate.generation.flows.generator import FlowConfig, FlowGenerator
from palate.generation.prompting import Example, PromptTemplate, selectors, split_rationale, truncate
from palate.generation.prompting.item_data import item_data
from palate.generation.prompting.kinds import KINDS, KindPrompt, repeats, strays
from palate.generation.scoring.personal import history_words, preference_share
from palate.generation.templates.writer import write

REASONS = 96
"""Tokens for reasons before the answer."""


@dataclass(frozen=True)
class _Candidate:
    """An answer that may be shown.

    Attributes:
        text: after mending.
        evidence: what bears it out.
        unsupported: share of the sentences that had to be mended.
        personal: share of the user's taste that it says.
    """

    text: str
    evidence: tuple[Evidence, ...]
    unsupported: float
    personal: float


@generators.register("prompted")
class Prompted(FlowGenerator):
    """Texts of a language model that were checked against the facts.

    Options of a request: ``must_include`` (words that occur), ``must_exclude``.
    """

    name = "prompted"
    paper = "own; in-context examples as in Brown et al. 2020, reasons first as in Kojima et al. 2022"
    kinds: tuple[ContentKind, ...] = get_args(TextKind)

    class Config(FlowConfig):
        """Settings of the prompts."""

        backend: str = Field("smollm2", description="language model: name or name:argument; empty for templates")
        temperature: float = Field(0.3, ge=0, description="of the language model; 0 takes the most probable token")
        examples: int = Field(1, ge=0, description="solved examples from the user's history")
        selector: str = Field("recency", description="which items of the history: random, recency, bm25, dense")
        max_tokens: int = Field(160, ge=1, description="of one answer, at most")
        rationale: bool = Field(False, description="reasons before the answer (chain of thought)")
        candidates: int = Field(1, ge=1, description="answers of which the best is shown")
        context: int = Field(400, ge=40, description="tokens of the item's description in a prompt, at most")
        mend: bool = Field(True, description="mend or refuse what is not borne out; else nothing is checked")

    config: Config

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        self.check_kinds(requests)
        groups: dict[tuple[Any, ...], list[int]] = {}
        for at, request in enumerate(requests):
            words = _words(request, "must_include"), _words(request, "must_exclude")
            groups.setdefault((request.kind, request.max_words, *words), []).append(at)
        made = [zip(at, self._alike([requests[one] for one in at], seed), strict=True) for at in groups.values()]
        return [one for _, one in sorted((pair for group in made for pair in group), key=lambda pair: pair[0])]

    def prompt(self, request: GenerationRequest) -> Prompt:
        """What the language model is asked.

        Args:
            request: item, user and kind.
        """
        kind = KINDS[cast(TextKind, request.kind)]
        data, count = item_data(request, kind.personal), self.backend.count if self.backend else len
        data |= {name: truncate(data[name], self.config.context, count) for name in ("description",) if name in data}
        instruction = kind.instruction
        if request.language.split("-")[0] != "en":
            instruction += " Write in the language {language}."
        template = PromptTemplate(instruction, tuple(data), rationale=self.config.rationale)
        settings = {"language": request.language} if "{language}" in instruction else {}
        # templates give no reasons, so that they are no examples of reasons first
        return template.fill(data, [] if self.config.rationale else self._examples(request, kind, data), settings)

    def _alike(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generated]:
        """Texts for requests of one kind and length with the same words to include and to leave out."""
        kind, n = KINDS[cast(TextKind, requests[0].kind)], self.config.candidates
        asked = [at for at, one in enumerate(requests) if kind.needs in ("", *item_data(one, kind.personal))]
        why = {
            at: "no answer could be shown" if at in asked else f"no {kind.needs} to go by"
            for at in range(len(requests))
        }
        prompts = {at: self.prompt(requests[at]) for at in asked if self.backend is not None}
        answers = dict[int, list[str]]()
        try:
            found = self._answers([one for one in prompts.values() for _ in range(n)], requests[0], kind, seed)
            answers = {at: found[place * n : (place + 1) * n] for place, at in enumerate(prompts)}
        except (BackendError, UnsupportedError) as error:
            why |= dict.fromkeys(prompts, f"the language model failed: {error.message}")
        return [
            self._chosen(request, self._candidates(request, kind, prompts.get(at), answers.get(at, ())), seed, why[at])
            for at, request in enumerate(requests)
        ]

    def _answers(self, prompts: Sequence[Prompt], request: GenerationRequest, kind: KindPrompt, seed: int) -> list[str]:
        if self.backend is None or not prompts:
            return []
        tokens = min(self.config.max_tokens, 2 * (request.max_words or kind.max_words) + 8)
        include, exclude = _words(request, "must_include"), _words(request, "must_exclude")
        if self.config.rationale:
            sampling = Sampling(tokens + REASONS, self.config.temperature)
        else:
            # words must occur in the answer, not in its reasons
            bound = Constraint(must_include=include, must_exclude=exclude) if include or exclude else None
            sampling = Sampling(tokens, self.config.temperature, constraint=bound)
        found = [one.text for one in self.backend.complete(prompts, sampling, seed=seed)]
        return [split_rationale(text)[1] for text in found] if self.config.rationale else found

    def _chosen(self, request: GenerationRequest, found: Sequence[_Candidate], seed: int, why: str) -> Generated:
        if found:
            best = min(found, key=lambda one: (one.unsupported, -one.personal))
            text, evidence = best.text, best.evidence
            made = self.provenance(seed, mended=str(best.unsupported > 0).lower())
        else:
            written = write(request, seed)
            text, evidence = written.text, written.evidence
            made = self.provenance(seed, None if self.backend is None else f"{why}; written by templates")
        shown = Generated(text, evidence=evidence, provenance=made)
        scores = FactualScorer().score(request.item, request.history, shown)
        return replace(shown, scores={**scores, "personal": history_words(text, request.history)})

    def _candidates(
        self, request: GenerationRequest, kind: KindPrompt, prompt: Prompt | None, answers: Sequence[str]
    ) -> list[_Candidate]:
        """What answers say within kind, length and facts."""
        checker, evidence = FactChecker(), [*history_evidence(request.history), *request.evidence]
        limited = replace(kind, max_words=request.max_words or kind.max_words)
        values = [value for fact in facts_of(request.item) for value in fact.values]
        include, exclude = _words(request, "must_include"), _words(request, "must_exclude")
        out = []
        for answer in answers:
            text = kind.read(answer, limited, values)
            if text is None or prompt is None or repeats(text, prompt) or strays(text, request):
                continue
            report = checker.check(text, request.item, evidence)
            unsupported = len(report.unsupported_sentences) / max(len(report.sentences), 1)
            if self.config.mend and unsupported:
                text = checker.repair(text, request.item, evidence)
                if text is None:
                    continue
                report = checker.check(text, request.item, evidence)
            said = text.casefold()
            kept = all(one.casefold() in said for one in include) and not any(one.casefold() in said for one in exclude)
            if kept and (self.accepts(request, text) or not self.config.mend):
                taste = preference_share(text, request.preferences)
                out.append(_Candidate(text, report.evidence, unsupported, 0.0 if taste != taste else taste))
        return out

    def _examples(self, request: GenerationRequest, kind: KindPrompt, data: dict[str, str]) -> list[Example]:
        """Items of the history with what the templates say of them."""
        taken = [one for one in request.history if item_id(one) != item_id(request.item)]
        if not self.config.examples or not taken or kind.needs == "question" or not write(request, 0).known:
            return []
        texts = [" ".join(value for fact in facts_of(one) for value in fact.values) for one in taken]
        out = []
        for at in selectors.get(self.config.selector)().select(" ".join(data.values()), texts, self.config.examples):
            others = [one for place, one in enumerate(taken) if place != at]
            evidence = may_be_said(taken[at], others, request.preferences)
            other = replace(request, item=taken[at], history=others, evidence=evidence, options={})
            filled = item_data(other, kind.personal)
            # an example has the slots of the question; what it lacks is empty
            out.append(Example({name: filled.get(name, "") for name in data}, write(other, 0).text))
        return out


def _words(request: GenerationRequest, name: str) -> tuple[str, ...]:
    return tuple(map(str, request.options.get(name, ())))
