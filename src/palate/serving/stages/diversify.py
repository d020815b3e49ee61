"""Diversity slider: maximal marginal relevance over the content of the candidates."""

from __future__ import annotations

from palate.models.rerank.mmr import mmr
from palate.serving.snapshot import ModelSnapshot
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages


@stages.register("diversify")
class Diversify(Stage):
    """Reorders candidates when the request asks for diversity; items are alike as far as their content is."""

    name = "diversify"

    def applies(self, request: StageRequest) -> bool:
        return request.diversity > 0

    def run(self, snapshot: ModelSnapshot, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        return slate.take(mmr(slate.scores, snapshot.content_vectors(slate.rows), request.k, request.diversity))
