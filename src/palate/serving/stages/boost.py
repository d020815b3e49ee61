"""Novelty and freshness sliders: boost items with few interactions, or recently added ones."""

from __future__ import annotations

from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages, unit_range


@stages.register("boost")
class Boost(Stage):
    """score = (1 - w) s + w (novelty and freshness, each in its share), w the larger of the two sliders.

    s is the relevance scaled to [0, 1] within the candidates, so that a slider means the same for every model.
    """

    name = "boost"

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        return bool(request.novelty or request.freshness)

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        stats = resolved.snapshot.stats
        weight, total = max(request.novelty, request.freshness), request.novelty + request.freshness
        boost = request.novelty * stats.novelty[slate.rows] + request.freshness * stats.recency[slate.rows]
        scores = ((1 - weight) * unit_range(slate.relevance) + weight * boost / total).astype(slate.scores.dtype)
        return Slate(slate.rows, scores, slate.notes).take((-scores).argsort(kind="stable"))
