"""Later stages of a run that is a funnel: its ranker, then its reranker. A late one costs quality, never a list."""

from __future__ import annotations

from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages


class LaterStage(Stage):
    """A stage of the model itself, on the list of the stage before."""

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        known = request.is_known and (resolved.model.new_users or request.user >= 0)
        return known and not request.is_search and self.name in resolved.model.scorer.later_stages

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        assert slate is not None
        snapshot, model = resolved
        users = snapshot.user_batch(request.user, request.history, request.has_new_events and model.new_users)
        lists = (slate.rows[None], slate.scores[None])
        ids, scores = model.scorer.run_stage(self.name, users, lists, request.n_candidates)
        there = ids[0] >= 0
        return Slate(ids[0][there], scores[0][there], slate.notes)


@stages.register("rank")
class Rank(LaterStage):
    """Score candidates by the run's ranker."""

    name = "rank"
    budget = 0.1
    budget_per_item = 0.001


@stages.register("rerank")
class Rerank(LaterStage):
    """Order the list by the run's reranker; sliders of the request take its place."""

    name = "rerank"
    budget = 0.05
    budget_per_item = 0.002

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        return super().applies(resolved, request) and not (request.diversity or request.novelty or request.freshness)
