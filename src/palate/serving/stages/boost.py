"""Novelty and freshness sliders: lean the order towards what few took, or what came last."""

from __future__ import annotations

from palate.serving.snapshot import ModelSnapshot
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages, unit_range


@stages.register("boost")
class Boost(Stage):
    """score = (1 - w) s + w (novelty and freshness, each in its share), w the larger of the two sliders.

    s is the score brought to [0, 1] within the candidates, so that a slider means the same whatever model scored.
    """

    name = "boost"

    def applies(self, request: StageRequest) -> bool:
        return bool(request.novelty or request.freshness)

    def run(self, snapshot: ModelSnapshot, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        weight, both = max(request.novelty, request.freshness), request.novelty + request.freshness
        asked = request.novelty * snapshot.novelty[slate.rows] + request.freshness * snapshot.recency[slate.rows]
        scores = ((1 - weight) * unit_range(slate.scores) + weight * asked / both).astype(slate.scores.dtype)
        return Slate(slate.rows, scores).take((-scores).argsort(kind="stable"))
