"""First stage: the best items for a user, or for a search query, by the model's own scorer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.ranking.selection import best
from palate.serving.snapshot import ResolvedModel, ServedModel
from palate.serving.stages.stage import Relevance, Slate, Stage, StageRequest, stages, unit_range

TASTE = 0.25
"""Weight of the user's taste in a search: what is searched for comes first."""
SEARCH_BUDGET = 1.5
"""Seconds of work for a search, which reads a text or an image first."""


@stages.register("match")
class Match(Stage):
    """Search the index of item vectors, score every item, or take the list of a model that only lists.

    Results are exact but for an index that is approximate. A search query ranks by content; where the user is known,
    the model's scores weigh :data:`TASTE` beside it, both scaled to [0, 1].
    """

    name = "match"
    budget = 0.5

    def budget_for(self, request: StageRequest) -> float:
        return SEARCH_BUDGET if request.is_search else super().budget_for(request)

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        return request.is_search or self._personal(resolved.model, request)

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        snapshot, model = resolved
        users = snapshot.user_batch(request.user, request.history, request.has_new_events and model.new_users)
        count = min(max(request.n_candidates, model.scorer.n_candidates("match", request.k)), len(snapshot))
        with torch.inference_mode():
            if request.relevance is not None:
                return self._search(resolved, users, request, request.relevance(), count)
            hidden = RaggedArray(np.array([0, len(request.hidden)], np.int64), request.hidden)
            if model.index is not None:
                allowed = None if request.allowed is None else _eligible(model, request)
                rows, scores = model.index.search(model.scorer.user_vectors(users).numpy(), count, allowed, hidden)
            else:
                rows, scores = model.scorer.matcher.topk(users, count, hidden, _eligible(model, request))
        valid = rows[0] >= 0
        # snapshots share an index, which may know rows that this one does not
        valid &= rows[0] < len(snapshot)
        return Slate(rows[0][valid], scores[0][valid])

    def _search(
        self,
        resolved: ResolvedModel,
        users: UserBatch,
        request: StageRequest,
        relevance: Relevance,
        count: int,
    ) -> Slate:
        snapshot, model = resolved
        notes = tuple(filter(None, [relevance.note]))
        fits = np.isfinite(relevance.scores)
        scores = unit_range(np.where(fits, relevance.scores, 0.0).astype(np.float32))
        if self._personal(model, request):
            if model.can_score:
                taste = np.zeros(len(snapshot), np.float32)
                taste[model.eligible] = unit_range(model.scorer.matcher.score(users)[0].numpy()[model.eligible])
                scores = ((1 - TASTE) * scores + TASTE * taste).astype(np.float32)
            else:
                notes += (f"user: the model {model.name!r} lists items and cannot score those that fit the search",)
        # what fits is found, also an item that the model cannot score
        shown = snapshot.active if request.allowed is None else snapshot.active & request.allowed
        return _best(scores, shown & fits, request.hidden, count, notes)

    def _personal(self, model: ServedModel, request: StageRequest) -> bool:
        return request.is_known and (model.new_users or request.user >= 0)


def _eligible(model: ServedModel, request: StageRequest) -> NDArray[np.bool_]:
    return model.eligible if request.allowed is None else model.eligible & request.allowed


def _best(
    scores: NDArray[np.float32], eligible: NDArray[np.bool_], hidden: IntArray, k: int, notes: tuple[str, ...]
) -> Slate:
    scores = np.where(eligible, scores, -np.inf).astype(np.float32)
    scores[hidden] = -np.inf
    values, rows = (part[0].numpy() for part in best(torch.from_numpy(scores)[None], k))
    valid = np.isfinite(values)
    return Slate(rows[valid], values[valid], notes)
