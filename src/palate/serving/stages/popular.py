"""Fallback: what most took, which always answers."""

from __future__ import annotations

import numpy as np

from palate.serving.snapshot import ModelSnapshot
from palate.serving.stages.stage import Slate, Stage, StageRequest, stages


@stages.register("popular")
class Popular(Stage):
    """The most taken items that may be shown; where words or a picture were given, those that fit come first."""

    name = "popular"

    def run(self, snapshot: ModelSnapshot, request: StageRequest, slate: Slate | None) -> Slate:
        order = snapshot.popular_rows
        may = snapshot.active if request.allowed is None else snapshot.active & request.allowed
        if len(request.hidden):
            may = may.copy()
            may[request.hidden] = False
        # most requests are answered by the head of the order
        rows = order[: 4 * request.candidates]
        rows = rows[may[rows]]
        if len(rows) < request.candidates:
            rows = order[may[order]]
        rows = rows[: request.candidates]
        return Slate(rows, snapshot.interaction_counts[rows].astype(np.float32))
