"""Diversity slider: maximal marginal relevance over the content of the candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.ranking.mmr import cosines, mmr_by_cosines
from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages
from palate.serving.stages.strength import even_weight


@stages.register("diversify")
class Diversify(Stage):
    """Reorder candidates by maximal marginal relevance; items are similar as far as their content is."""

    name = "diversify"
    budget_per_item = 0.002

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        return request.diversity > 0

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        similar, relevance = cosines(resolved.snapshot.stats.content_vectors(slate.rows)), slate.relevance

        def order(weight: float) -> NDArray[np.int64]:
            return mmr_by_cosines(relevance, similar, request.k, weight)

        return slate.take(order(even_weight(order, request.k, len(slate.rows), request.diversity)))
