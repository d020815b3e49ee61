"""GCOF: advertising copy by genetic optimisation (Zhou et al., 2024).

An individual is a set of features (entitlement, style, keywords); a writer makes a copy from it, by a language model or
by templates; its fitness is its predicted click-through rate. A child is made by differential evolution on keyword
sets,

    child = base + (better - worse),

where base, better and worse are three of the fittest: keywords of ``better`` alone are added and those of ``worse``
alone removed, each with probability ``factor``. Children are mutated, and the fittest of parents and children stay.

Ours: click-through is a logistic regression on the words of past copies (:meth:`GCOF.fit_copies`), or any scorer, such
as a language model with past copies in context; without either the fitness is how much of the user's taste a copy
names. Keywords come from the item's own values, so that none is untrue of it, and what a language model writes is
refused where it adds keywords, numbers or promises. Entitlements come from the request alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from palate.contracts import Evidence, Generated, GenerationRequest, generators
from palate.core.config import ModelConfig
from palate.core.seeding import rng_for
from palate.generation.flows.copywriter import STYLES, acceptable, compose, copy_constraint, copy_prompt
from palate.generation.flows.ctr import CopyScorer, WordCtr
from palate.generation.flows.generator import FlowConfig, FlowGenerator
from palate.generation.flows.genetic import CopyFeatures, Evolution, SearchSpace, Settings, evolve
from palate.generation.flows.item_values import attributes, contains, title_column, title_of, true_of, words


@generators.register("gcof")
class GCOF(FlowGenerator):
    """Copy whose keywords, style and offer are searched for the highest predicted click-through rate.

    Options of a request: ``keywords`` (candidates beside the item's values), ``entitlements``, ``styles``,
    ``vocabulary`` (keywords of all items, which a language model may not say where they are untrue).
    """

    name = "gcof"
    paper = "Zhou et al., GCOF: Self-iterative Text Generation for Copywriting Using Large Language Model, 2024"
    kinds = ("marketing_copy", "email_subject")

    class Config(FlowConfig):
        """Settings of the search."""

        population: int = Field(12, ge=3, description="copies that are kept from generation to generation")
        budget: int = Field(96, ge=1, description="copies written for one request")
        least: int = Field(1, ge=1, description="keywords of a copy at least")
        most: int = Field(4, ge=1, description="keywords of a copy at most")
        factor: float = Field(0.8, ge=0, le=1, description="probability that an element of a difference is applied")
        crossover: float = Field(0.8, ge=0, le=1, description="share of children made by crossover")
        mutation: float = Field(0.1, ge=0, le=1, description="probability that a keyword or the style is drawn anew")
        search: Literal["genetic", "random"] = Field("genetic", description="random writes as many random copies")

    config: Config

    def __init__(self, config: ModelConfig | None = None, *, scorer: CopyScorer | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self._scorer: list[CopyScorer] = [] if scorer is None else [scorer]

    def fit_copies(self, texts: Sequence[str], shown: ArrayLike, clicks: ArrayLike) -> GCOF:
        """Learn the click-through rate from past copies.

        Args:
            texts: copies.
            shown: times each was shown.
            clicks: times each was clicked.
        """
        self._scorer = [WordCtr.fit(texts, shown, clicks)]
        return self

    def evolution(
        self, request: GenerationRequest, *, seed: int = 0, start: Sequence[CopyFeatures] = ()
    ) -> Evolution | None:
        """The whole search for one request, with its history.

        Args:
            request: what is to be written about.
            seed: of the draws.
            start: features of the first copies, such as those written by people; untrue keywords are dropped.

        Returns:
            The fittest copies; None where nothing can be said of the item.
        """
        space, columns = self._space(request)
        if not space.keywords:
            return None
        rng = rng_for(seed, "gcof", title_of(request.item))
        options = self.config.model_dump(include=set(Settings.__dataclass_fields__))
        # a start that says nothing true, or promises what the request does not, is not started from
        first = [
            one for one in start
            if set(one.keywords) & columns.keys() and one.entitlement in space.entitlements
            and one.style in space.styles
        ]  # fmt: skip
        write = self._writer(request, space, seed)
        return evolve(space, write, self._fitness(request), Settings(**options), rng, first)

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        self.check_kinds(requests)
        return [self._best(request, seed) for request in requests]

    def extra_state(self) -> dict[str, Any]:
        return {"ctr": self._scorer[0].state()} if self._scorer and isinstance(self._scorer[0], WordCtr) else {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if "ctr" in state:
            self._scorer = [WordCtr.from_state(state["ctr"])]

    def _best(self, request: GenerationRequest, seed: int) -> Generated:
        found = self.evolution(request, seed=seed)
        if found is None or not found.population[0].text:
            title = " ".join(title_of(request.item).split()[: request.max_words])
            made = self.provenance(seed, fallback="no copy says something true within the length")
            return Generated(title or None, provenance=made)
        best, columns = found.population[0], self._space(request)[1]
        identity = _id(request.item)
        keys = {columns[keyword] for keyword in best.features.keywords}
        evidence = [Evidence("item", identity, key, request.item[key]) for key in sorted(keys)]
        named = title_column(request.item)
        if named is not None and contains(words(best.text), words(title_of(request.item))):
            evidence.insert(0, Evidence("item", identity, named, request.item[named]))
        value = "ctr" if self._scorer else "personal"
        scores = {value: best.fitness, f"{value}_at_start": found.history[0].best}
        made = self.provenance(seed, style=best.features.style, written=str(found.history[-1].calls))
        return Generated(best.text, evidence=evidence, provenance=made, scores=scores)

    def _space(self, request: GenerationRequest) -> tuple[SearchSpace, dict[str, str]]:
        """The search space of a request, and the column that says each keyword."""
        columns = {value: column for column, values in attributes(request.item).items() for value in values}
        for keyword in request.options.get("keywords", ()):
            if keyword not in columns and (said_in := true_of(request.item, keyword)) is not None:
                columns[keyword] = said_in
        liked = {one.value.casefold(): one.weight for one in request.preferences}
        weights = np.array([1.0 + liked.get(keyword.casefold(), 0.0) for keyword in columns], np.float64)
        styles = tuple(request.options.get("styles", STYLES))
        entitlements = tuple(request.options.get("entitlements", ("",)))
        c = self.config
        return SearchSpace(tuple(columns), styles, entitlements, weights, c.least, max(c.least, c.most)), columns

    def _writer(self, request: GenerationRequest, space: SearchSpace, seed: int) -> Any:
        vocabulary = tuple(request.options.get("vocabulary", ()))
        facts = {key: str(value) for key, value in request.item.items() if isinstance(value, str | int | float)}

        def write(batch: Sequence[CopyFeatures]) -> list[str | None]:
            if self.backend is None:
                texts: list[str | None] = [compose(one, request.item) for one in batch]
            else:
                prompts = [copy_prompt(one, facts, request.max_words) for one in batch]
                written = self.ask(prompts, [copy_constraint(one) for one in batch], seed=seed)
                texts = [
                    (text if self.accepts(request, text) else None) if text else compose(one, request.item)
                    for text, one in zip(written, batch, strict=True)
                ]
            return [
                text if acceptable(text or "", one, request.item, request.max_words, vocabulary, space.entitlements)
                else None
                for text, one in zip(texts, batch, strict=True)
            ]  # fmt: skip

        return write

    def _fitness(self, request: GenerationRequest) -> Any:
        if self._scorer:
            return self._scorer[0].predict
        liked = [(words(one.value), one.weight) for one in request.preferences]
        total = sum(weight for _, weight in liked) or 1.0

        def personal(texts: Sequence[str]) -> NDArray[np.float64]:
            said = [words(text) for text in texts]
            # of two copies that name the same taste the shorter one is better
            return np.array(
                [sum(w for value, w in liked if contains(one, value)) / total - 1e-3 * len(one) for one in said]
            )

        return personal


def _id(item: Mapping[str, Any]) -> str:
    return str(next(iter(item.values()), ""))
