"""Novelty and freshness sliders: boost items with few interactions, or recently added ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages, unit_range
from palate.serving.stages.strength import even_weight


@stages.register("boost")
class Boost(Stage):
    """score = (1 - w) s + w (novelty and freshness, each in its share).

    s is the relevance scaled to [0, 1] within the candidates. w follows from the larger of the two sliders by
    :func:`.even_weight`, so that each tenth of a slider replaces as many items, whatever the scores of the model.
    """

    name = "boost"
    budget = 0.1

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        return bool(request.novelty or request.freshness)

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        stats = resolved.snapshot.stats
        strength, total = max(request.novelty, request.freshness), request.novelty + request.freshness
        boost = request.novelty * stats.novelty[slate.rows] + request.freshness * stats.recency[slate.rows]
        boost = boost / total
        relevance = unit_range(slate.relevance)

        def scored(weight: float) -> NDArray[np.float32]:
            return ((1 - weight) * relevance + weight * boost).astype(slate.scores.dtype)

        def order(weight: float) -> NDArray[np.int64]:
            return (-scored(weight)).argsort(kind="stable")

        weight = even_weight(order, request.k, len(slate.rows), strength)
        return Slate(slate.rows, scored(weight), slate.notes).take(order(weight))
