"""Search for the best copy over feature sets: differential crossover of keyword sets, mutation, elitist selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ATTEMPTS = 10
"""Draws after which a copy that was not written before counts as not to be had."""


@dataclass(frozen=True, order=True)
class CopyFeatures:
    """An individual: what a copy is written from.

    Attributes:
        entitlement: what the reader gets, such as a discount; empty for nothing.
        style: name of a style.
        keywords: what is said of the item, in the order of the search space.
    """

    entitlement: str
    style: str
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class SearchSpace:
    """What copies may be written from.

    Attributes:
        keywords: all that is true of the item.
        styles: names.
        entitlements: what may be promised; ``""`` is nothing.
        weights: float64 [keywords], above 0: how likely each is drawn; None draws evenly.
        least: keywords of a copy at least.
        most: keywords of a copy at most.
    """

    keywords: tuple[str, ...]
    styles: tuple[str, ...]
    entitlements: tuple[str, ...] = ("",)
    weights: NDArray[np.float64] | None = None
    least: int = 1
    most: int = 4

    def draw(self, rng: np.random.Generator) -> CopyFeatures:
        """Random features.

        Args:
            rng: of the draws.
        """
        low, high = min(self.least, len(self.keywords)), min(self.most, len(self.keywords))
        chosen = self._sample(self.keywords, int(rng.integers(low, high + 1)), rng)
        return CopyFeatures(str(rng.choice(self.entitlements)), str(rng.choice(self.styles)), self.ordered(chosen))

    def ordered(self, keywords: set[str]) -> tuple[str, ...]:
        """Keywords in the order of the space; others are dropped.

        Args:
            keywords: any.
        """
        return tuple(keyword for keyword in self.keywords if keyword in keywords)

    def bounded(self, keywords: set[str], rng: np.random.Generator) -> tuple[str, ...]:
        """As many keywords as are allowed: at random some are dropped, or drawn in addition.

        Args:
            keywords: of the space.
            rng: of the draws.
        """
        chosen = self.ordered(keywords)
        if len(chosen) > self.most:
            return self.ordered(set(rng.choice(chosen, self.most, replace=False)))
        left = tuple(keyword for keyword in self.keywords if keyword not in keywords)
        lacking = min(self.least, len(self.keywords)) - len(chosen)
        return self.ordered({*chosen, *self._sample(left, lacking, rng)}) if lacking > 0 else chosen

    def _sample(self, among: Sequence[str], n: int, rng: np.random.Generator) -> set[str]:
        if self.weights is None:
            return set(rng.choice(among, n, replace=False)) if n else set()
        weight = dict(zip(self.keywords, self.weights))
        share = np.array([weight[keyword] for keyword in among])
        return set(rng.choice(among, n, replace=False, p=share / share.sum())) if n else set()


@dataclass(frozen=True)
class Candidate:
    """A written copy.

    Attributes:
        features: what it was written from.
        text: the copy; empty where it was refused.
        fitness: predicted; -inf where it was refused.
    """

    features: CopyFeatures
    text: str
    fitness: float


@dataclass(frozen=True)
class Round:
    """One generation.

    Attributes:
        calls: copies written so far.
        best: highest fitness of the population.
        mean: mean fitness of those in the population that were not refused; nan for none.
    """

    calls: int
    best: float
    mean: float


@dataclass(frozen=True)
class Evolution:
    """Outcome of a search.

    Attributes:
        population: the fittest, best first.
        history: one entry a generation, the starting copies first.
    """

    population: tuple[Candidate, ...]
    history: tuple[Round, ...]


@dataclass(frozen=True)
class Settings:
    """How the search goes.

    Attributes:
        population: copies that are kept.
        budget: copies that are written in all.
        factor: probability that an element of the difference is applied.
        crossover: probability that a child is made by crossover, else it is a mutated copy of one parent.
        mutation: probability that a keyword, the style or the entitlement is drawn anew.
        search: ``genetic``, or ``random`` for as many random copies.
    """

    population: int = 12
    budget: int = 96
    factor: float = 0.8
    crossover: float = 0.8
    mutation: float = 0.1
    search: str = "genetic"


Write = Callable[[Sequence[CopyFeatures]], Sequence[str | None]]
Fitness = Callable[[Sequence[str]], NDArray[np.float64]]


def differential(
    base: CopyFeatures,
    better: CopyFeatures,
    worse: CopyFeatures,
    space: SearchSpace,
    factor: float,
    rng: np.random.Generator,
) -> CopyFeatures:
    """Base plus the difference of two good parents, as in differential evolution, on sets of keywords.

    What only ``better`` has is added and what only ``worse`` has is removed, each with probability ``factor``; style
    and entitlement are those of ``better`` with the same probability.

    Args:
        base: what is changed.
        better: the fitter parent.
        worse: the other parent.
        space: bounds the number of keywords.
        factor: in 0..1.
        rng: of the draws.
    """
    keywords = set(base.keywords)
    for keyword in worse.keywords:
        if keyword not in better.keywords and rng.random() < factor:
            keywords.discard(keyword)
    for keyword in better.keywords:
        if keyword not in worse.keywords and rng.random() < factor:
            keywords.add(keyword)
    style = better.style if rng.random() < factor else base.style
    entitlement = better.entitlement if rng.random() < factor else base.entitlement
    return CopyFeatures(entitlement, style, space.bounded(keywords, rng))


def mutate(features: CopyFeatures, space: SearchSpace, rate: float, rng: np.random.Generator) -> CopyFeatures:
    """Draw keywords, style and entitlement anew, each with probability ``rate``; the number of keywords may change.

    Args:
        features: what is changed.
        space: what is drawn from.
        rate: in 0..1.
        rng: of the draws.
    """
    if rate <= 0.0:
        return features
    fresh = space.draw(rng)
    keywords = {keyword for keyword in features.keywords if rng.random() >= rate}
    lost = len(features.keywords) - len(keywords) + int(rng.random() < rate)
    keywords |= set(fresh.keywords[:lost])
    if len(keywords) > space.least and rng.random() < rate:
        keywords.discard(str(rng.choice(sorted(keywords))))
    return CopyFeatures(
        fresh.entitlement if rng.random() < rate else features.entitlement,
        fresh.style if rng.random() < rate else features.style,
        space.bounded(keywords, rng),
    )


def evolve(
    space: SearchSpace,
    write: Write,
    fitness: Fitness,
    settings: Settings,
    rng: np.random.Generator,
    start: Sequence[CopyFeatures] = (),
) -> Evolution:
    """Search within a budget of written copies; no copy is written twice.

    Args:
        space: what copies may be written from.
        write: features -> copies; None refuses one (it is untrue, or too long), which also counts.
        fitness: copies -> values, the higher the better.
        settings: how the search goes.
        rng: of the draws.
        start: features of the first copies; drawn where there are fewer than the population.
    """
    seen: set[CopyFeatures] = set()
    chosen: list[Candidate] = []
    history: list[Round] = []
    wanted = [replace(one, keywords=space.bounded(set(one.keywords), rng)) for one in start]
    while len(seen) < settings.budget:
        size = min(settings.population, settings.budget - len(seen))
        fresh: list[CopyFeatures] = []
        for _ in range(size):
            child = _unseen(space, wanted, chosen, settings, seen, rng)
            if child is not None:
                seen.add(child)
                fresh.append(child)
        if not fresh:
            break
        chosen = sorted([*chosen, *_judged(fresh, write, fitness)], key=lambda one: (-one.fitness, one.features))
        del chosen[settings.population :]
        valid = [one.fitness for one in chosen if one.text]
        history.append(Round(len(seen), chosen[0].fitness, float(np.mean(valid)) if valid else float("nan")))
    return Evolution(tuple(chosen), tuple(history))


def _judged(fresh: Sequence[CopyFeatures], write: Write, fitness: Fitness) -> list[Candidate]:
    texts = [text or "" for text in write(fresh)]
    kept = [text for text in texts if text]
    values = iter(fitness(kept).tolist() if kept else [])
    return [Candidate(one, text, next(values) if text else -np.inf) for one, text in zip(fresh, texts, strict=True)]


def _unseen(
    space: SearchSpace,
    wanted: list[CopyFeatures],
    parents: Sequence[Candidate],
    settings: Settings,
    seen: set[CopyFeatures],
    rng: np.random.Generator,
) -> CopyFeatures | None:
    """A child that was not written before, or random features; None where all draws were."""
    while wanted:
        if (one := wanted.pop(0)) not in seen:
            return one
    for attempt in range(2 * ATTEMPTS):
        if settings.search == "random" or len(parents) < 3 or attempt >= ATTEMPTS:
            child = space.draw(rng)
        elif rng.random() < settings.crossover:
            at = rng.choice(len(parents), 3, replace=False)
            better, worse = sorted(at[1:])
            trio = (parents[at[0]].features, parents[better].features, parents[worse].features)
            child = mutate(differential(*trio, space, settings.factor, rng), space, settings.mutation, rng)
        else:
            child = mutate(parents[int(rng.integers(len(parents)))].features, space, 3 * settings.mutation, rng)
        if child not in seen:
            return child
    return None
