"""Novelty and freshness sliders: lean the order towards what few took, or what came last."""

from __future__ import annotations

from palate.serving.edition import Edition

from .stage import Ask, Slate, Stage, stages, unit_range


@stages.register("lean")
class Lean(Stage):
    """score = (1 - w) s + w (novelty and freshness, each in its share), w the larger of the two sliders.

    s is the score brought to [0, 1] within the candidates, so that a slider means the same whatever model scored.
    """

    name = "lean"

    def applies(self, ask: Ask) -> bool:
        return bool(ask.novelty or ask.freshness)

    def run(self, edition: Edition, ask: Ask, slate: Slate | None) -> Slate:
        assert slate is not None
        weight, both = max(ask.novelty, ask.freshness), ask.novelty + ask.freshness
        asked = ask.novelty * edition.novelty[slate.rows] + ask.freshness * edition.newness[slate.rows]
        scores = ((1 - weight) * unit_range(slate.scores) + weight * asked / both).astype(slate.scores.dtype)
        return Slate(slate.rows, scores).take((-scores).argsort(kind="stable"))
