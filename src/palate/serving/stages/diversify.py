"""Diversity slider: maximal marginal relevance over the content of the candidates."""

from __future__ import annotations

from palate.ranking.mmr import mmr
from palate.serving.edition import Edition

from .stage import Ask, Slate, Stage, stages


@stages.register("diversify")
class Diversify(Stage):
    """Reorders candidates when the request asks for diversity; items are alike as far as their content is."""

    name = "diversify"

    def applies(self, ask: Ask) -> bool:
        return ask.diversity > 0

    def run(self, edition: Edition, ask: Ask, slate: Slate | None) -> Slate:
        assert slate is not None
        return slate.take(mmr(slate.scores, edition.looks(slate.rows), ask.k, ask.diversity))
