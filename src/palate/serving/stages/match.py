"""First stage: the best items for a user, or for words and a picture, by the run's own scorer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import RaggedArray
from palate.ranking.selection import best
from palate.serving.snapshot import ModelSnapshot, ServedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages, unit_range


@stages.register("match")
class Match(Stage):
    """Vectors are searched in the index, other models score every item; all exact but for an index of cells."""

    name = "match"
    budget = 0.25

    def applies(self, request: StageRequest) -> bool:
        return request.similarity is not None or (
            request.is_known and request.model is not None and self._can(request, request.model)
        )

    def run(self, snapshot: ModelSnapshot, request: StageRequest, slate: Slate | None) -> Slate:
        served = request.model
        assert served is not None
        batch = snapshot.batch(request.user, request.history, request.has_new_events and served.new_users)
        count = min(request.candidates, len(snapshot))
        hidden = RaggedArray(np.array([0, len(request.hidden)], np.int64), request.hidden)
        with torch.inference_mode():
            if request.similarity is not None:
                scores = unit_range(
                    np.where(np.isfinite(request.similarity), request.similarity, 0.0).astype(np.float32)
                )
                if request.is_known and self._can(request, served):
                    scores = scores + unit_range(served.scorer.score(batch)[0].numpy())
                may = self._may(served, request) & np.isfinite(request.similarity)
                return _best(scores, may, request.hidden, count)
            if served.index is not None:
                allowed = None if request.allowed is None else self._may(served, request)
                rows, found = served.index.search(served.scorer.user_vectors(batch).numpy(), count, allowed, hidden)
            else:
                rows, found = served.scorer.topk(batch, count, hidden, self._may(served, request))
        kept = rows[0] >= 0
        # the index of two snapshots is one: it may know rows that this snapshot does not
        kept &= rows[0] < len(snapshot)
        return Slate(rows[0][kept], found[0][kept])

    def _may(self, served: ServedModel, request: StageRequest) -> NDArray[np.bool_]:
        return served.eligible if request.allowed is None else served.eligible & request.allowed

    def _can(self, request: StageRequest, served: ServedModel) -> bool:
        return served.new_users or request.user >= 0


def _best(scores: NDArray[np.float32], may: NDArray[np.bool_], hidden: NDArray[np.int64], k: int) -> Slate:
    scores = np.where(may, scores, -np.inf).astype(np.float32)
    scores[hidden] = -np.inf
    values, rows = (found[0].numpy() for found in best(torch.from_numpy(scores)[None], k))
    kept = np.isfinite(values)
    return Slate(rows[kept], values[kept])
