"""Diversity slider: maximal marginal relevance over the content of the candidates."""

from __future__ import annotations

from palate.ranking.mmr import mmr
from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages


@stages.register("diversify")
class Diversify(Stage):
    """Reorder candidates by maximal marginal relevance; items are similar as far as their content is."""

    name = "diversify"

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        return request.diversity > 0

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        vectors = resolved.snapshot.stats.content_vectors(slate.rows)
        return slate.take(mmr(slate.relevance, vectors, request.k, request.diversity))
