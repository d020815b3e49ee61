"""Fallback: what most took, which always answers."""

from __future__ import annotations

import numpy as np

from palate.serving.edition import Edition

from .stage import Ask, Slate, Stage, stages


@stages.register("popular")
class Popular(Stage):
    """The most taken items that may be shown; where words or a picture were given, those that fit come first."""

    name = "popular"

    def run(self, edition: Edition, ask: Ask, slate: Slate | None) -> Slate:
        order = edition.popular
        may = edition.alive if ask.allowed is None else edition.alive & ask.allowed
        if len(ask.hidden):
            may = may.copy()
            may[ask.hidden] = False
        # most requests are answered by the head of the order
        rows = order[: 4 * ask.candidates]
        rows = rows[may[rows]]
        if len(rows) < ask.candidates:
            rows = order[may[order]]
        rows = rows[: ask.candidates]
        return Slate(rows, edition.taken[rows].astype(np.float32))
