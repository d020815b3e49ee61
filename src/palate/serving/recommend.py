"""From a request to a response: what the stages are asked, and their list in ids, titles and reasons."""

from __future__ import annotations

import numpy as np

from palate.core.batch import IntArray
from palate.serving.content_similarity import SearchQuery, content_similarity
from palate.serving.explain import history_shares, leave_one_out, named_reasons
from palate.serving.item_similarity import item_similarity
from palate.serving.requests import RecommendedItem, RecommendRequest, RecommendResponse
from palate.serving.search.text_search import text_relevance
from palate.serving.snapshot import ResolvedModel, UnknownItem
from palate.serving.stages import ListKey, Pipeline, StageRequest
from palate.serving.stages.pipeline import CACHED, Timing
from palate.serving.user_state import UserState

SPARE = 5
"""Items listed beyond those requested: some may be removed while the list is made."""
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
        stage_request, search_note = self._stage_request(resolved, user, request)
        answer = self.pipeline(resolved, stage_request)
        rows, timings, fallback = answer.slate.rows, answer.timings, answer.fallback
        notes = [*filter(None, [search_note]), *answer.notes, *snapshot.stats.filters.unknown(request.filters)]
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
        sliders = StageRequest(
            1,
            user=0,
            history=np.zeros(1, np.int64),
            diversity=request.diversity,
            novelty=request.novelty,
            freshness=request.freshness,
        )
        return self.pipeline.is_fast(resolved, sliders)

    def _stage_request(
        self, resolved: ResolvedModel, user: UserState, request: RecommendRequest
    ) -> tuple[StageRequest, str]:
        """The request in rows of the snapshot, and a remark on a search without matches."""
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
        similarity, note = None, ""
        if request.text is not None and request.image is None and request.similar_to is None:
            similarity, note = text_relevance(snapshot, request.text)
        elif request.similar_to is not None and request.text is None:
            start = snapshot.require_row(request.similar_to)
            similarity, hidden = item_similarity(resolved, start), np.append(hidden, start)
        elif request.is_search:
            row = None if request.similar_to is None else snapshot.require_row(request.similar_to)
            similarity = content_similarity(snapshot, SearchQuery(request.text, request.image, row))
            if row is not None:
                hidden = np.append(hidden, row)
        stage_request = StageRequest(
            request.k + SPARE,
            user.user,
            user.history,
            user.has_new_events,
            hidden,
            snapshot.stats.filters.mask(request.filters) if request.filters else None,
            similarity,
            request.diversity,
            request.novelty,
            request.freshness,
            None if request.user is None else ListKey(request.user, resolved.model.name, snapshot.fingerprint),
            bool(request.exclude),
        )
        return stage_request, note

    def _reasons(self, resolved: ResolvedModel, user: UserState, rows: IntArray) -> list[tuple[str, ...]]:
        """Ids of the items of the history that carried each score."""
        losses = leave_one_out(resolved.model, user.history, rows)
        ids = resolved.snapshot.ids
        return [
            tuple(ids[user.history[at]] for at in named_reasons(history_shares(losses[:, column])))
            for column in range(len(rows))
        ]
