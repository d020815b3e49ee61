"""Fallback: popular items, which can always be listed."""

from __future__ import annotations

import numpy as np

from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages


@stages.register("popular")
class Popular(Stage):
    """The items with most interactions that may be shown."""

    name = "popular"

    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        snapshot, count = resolved.snapshot, request.n_candidates
        order = snapshot.stats.popular_rows
        allowed = snapshot.active if request.allowed is None else snapshot.active & request.allowed
        if len(request.hidden):
            allowed = allowed.copy()
            allowed[request.hidden] = False
        # most requests are answered by the head of the order
        rows = order[: 4 * count]
        rows = rows[allowed[rows]]
        if len(rows) < count:
            rows = order[allowed[order]]
        rows = rows[:count]
        return Slate(rows, snapshot.stats.interaction_counts[rows].astype(np.float32))
