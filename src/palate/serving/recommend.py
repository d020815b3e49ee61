"""From a request to a response: what the stages are asked, and their list in ids, titles and reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from palate.core.batch import IntArray
from palate.serving.content_similarity import SearchQuery, content_similarity
from palate.serving.explain import history_shares, leave_one_out, named_reasons
from palate.serving.item_similarity import item_similarity
from palate.serving.requests import RecommendedItem, RecommendRequest, RecommendResponse
from palate.serving.search.text_search import text_relevance
from palate.serving.snapshot import MAIN, ModelSnapshot, ResolvedModel, UnknownItem
from palate.serving.stages import ListKey, Pipeline, Relevance, StageRequest
from palate.serving.stages.pipeline import CACHED, Timing
from palate.serving.user_state import UserState

SPARE = 5
"""Items listed beyond those requested: some may be removed while the list is made."""
WARM_UP_ITEMS = 10
"""Length of the lists, and of an unknown user's history, that are made before requests come."""
NO_HISTORY = "user: the database does not answer, so that events of this user could not be considered"


class Recommender:
    """Answers requests by a pipeline of stages.

    Args:
        pipeline: stages that make the list.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def recommend(
        self, resolved: ResolvedModel, user: UserState, request: RecommendRequest, read_seconds: float = 0.0
    ) -> RecommendResponse:
        """The list for one request.

        Args:
            resolved: model that answers, and its snapshot.
            user: the user, in rows of the snapshot.
            request: the request.
            read_seconds: time that reading the user's events took.

        Raises:
            UnknownItem: if the item to search for, or one to exclude, does not exist.
            DataError: for a filter that does not fit the catalogue.
            UnsupportedError: if the run cannot search for what is requested.
            FeatureError: if a text or an image has no content that can be compared.
        """
        snapshot = resolved.snapshot
        stage_request = self._stage_request(resolved, user, request)
        answer = self.pipeline(resolved, stage_request)
        rows, timings, fallback = answer.slate.rows, answer.timings, answer.fallback
        notes = [*answer.notes, *snapshot.stats.filters.unknown(request.filters)]
        if not user.is_complete:
            notes.append(NO_HISTORY)
            timings = (Timing("history", read_seconds, "failed"), *timings)
            fallback = "history_unavailable" if fallback == "new_user" else fallback
        reasons: list[tuple[str, ...]] = [()] * len(rows)
        if request.include_reasons and (fallback is None or answer.source == CACHED) and len(user.history):
            if resolved.model.can_score:
                reasons = self._reasons(resolved, user, rows)
            else:
                notes.append(
                    f"include_reasons: the model {resolved.model.name!r} lists items without scores of single items"
                )
        titles = snapshot.stats.titles
        items = tuple(
            RecommendedItem(snapshot.ids[row], titles[row], float(score), why)
            for row, score, why in zip(rows.tolist(), answer.slate.scores.tolist(), reasons)
            if snapshot.active[row]
        )[: request.k]
        return RecommendResponse(items, snapshot.fingerprint, answer.source, timings, tuple(notes), fallback)

    def is_fast(self, resolved: ResolvedModel, request: RecommendRequest) -> bool:
        """Whether the stages that a request passes took milliseconds of late.

        Args:
            resolved: model that would answer, and its snapshot.
            request: the request.
        """
        if request.text is not None or request.image is not None or request.include_reasons:
            return False
        similar = None if request.similar_to is None else lambda: Relevance(np.zeros(0, np.float32))
        sliders = StageRequest(
            1,
            user=0,
            history=np.zeros(1, np.int64),
            relevance=similar,
            diversity=request.diversity,
            novelty=request.novelty,
            freshness=request.freshness,
        )
        return self.pipeline.is_fast(resolved, sliders)

    def warm_up(self, snapshot: ModelSnapshot) -> None:
        """Make a list of each kind with each model, before the first requests wait for what is loaded once.

        Args:
            snapshot: the snapshot.
        """
        seen = snapshot.deployment.seen
        user = next((row for row in snapshot.users.values() if len(seen[row])), -1)
        rows = np.flatnonzero(snapshot.active)[:WARM_UP_ITEMS]
        history = rows if user < 0 else seen[user][:WARM_UP_ITEMS]
        if not len(rows):
            return
        known = StageRequest(WARM_UP_ITEMS, user, history, hidden=history)
        lists = [
            known,
            replace(known, diversity=0.5, novelty=0.5, freshness=0.5),
            replace(known, user=-1, has_new_events=True),
        ]
        for model in snapshot.models.values():
            for request in lists:
                self.pipeline.warm_up(ResolvedModel(snapshot, model), request)
        resolved, item = ResolvedModel(snapshot, snapshot.models[MAIN]), int(rows[0])
        title = snapshot.stats.titles[item]
        for relevance in (
            lambda: text_relevance(snapshot, title),
            lambda: Relevance(item_similarity(resolved, item)),
        ):
            self.pipeline.warm_up(resolved, replace(known, relevance=relevance))

    def _stage_request(self, resolved: ResolvedModel, user: UserState, request: RecommendRequest) -> StageRequest:
        """The request in rows of the snapshot."""
        snapshot = resolved.snapshot
        hidden = user.hidden if request.include_seen else np.concatenate([user.hidden, user.history])
        if not request.include_seen and user.user >= 0:
            hidden = np.concatenate([hidden, snapshot.deployment.known_items(np.array([user.user])).items])
        if request.exclude:
            for item in request.exclude:
                if item not in snapshot.rows:
                    raise UnknownItem("no such item to exclude", key=item)
            excluded = [row for row in map(snapshot.row, request.exclude) if row >= 0]
            hidden = np.concatenate([hidden, np.array(excluded, np.int64)])
        start = None if request.similar_to is None else snapshot.require_row(request.similar_to)
        if start is not None:
            hidden = np.append(hidden, start)
        return StageRequest(
            request.k + SPARE,
            user.user,
            user.history,
            user.has_new_events,
            hidden,
            snapshot.stats.filters.mask(request.filters) if request.filters else None,
            _relevance(resolved, request, start),
            request.diversity,
            request.novelty,
            request.freshness,
            None if request.user is None else ListKey(request.user, resolved.model.name, snapshot.fingerprint),
            bool(request.exclude),
        )

    def _reasons(self, resolved: ResolvedModel, user: UserState, rows: IntArray) -> list[tuple[str, ...]]:
        """Ids of the items of the history that carried each score."""
        losses = leave_one_out(resolved.model, user.history, rows)
        ids = resolved.snapshot.ids
        return [
            tuple(ids[user.history[at]] for at in named_reasons(history_shares(losses[:, column])))
            for column in range(len(rows))
        ]


def _relevance(resolved: ResolvedModel, request: RecommendRequest, start: int | None) -> Callable[[], Relevance] | None:
    """How the relevance of all items to a search is computed; None for a list.

    Args:
        resolved: model that answers, and its snapshot.
        request: the request.
        start: row of the item to search for; None where there is none.
    """
    snapshot, text, image = resolved.snapshot, request.text, request.image
    if text is not None and image is None and start is None:
        return lambda: text_relevance(snapshot, text)
    if start is not None and text is None:
        return lambda: Relevance(item_similarity(resolved, start))
    if request.is_search:
        return lambda: Relevance(content_similarity(snapshot, SearchQuery(text, image, start)))
    return None
