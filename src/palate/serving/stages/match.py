"""First stage: the best items for a user, or for words and a picture, by the run's own scorer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import RaggedArray
from palate.ranking.selection import best
from palate.serving.edition import Edition, Voice

from .stage import Ask, Slate, Stage, stages, unit_range


@stages.register("match")
class Match(Stage):
    """Vectors are searched in the index, other models score every item; all exact but for an index of cells."""

    name = "match"
    budget = 0.25

    def applies(self, ask: Ask) -> bool:
        return ask.likeness is not None or (ask.known and ask.voice is not None and self._can(ask, ask.voice))

    def run(self, edition: Edition, ask: Ask, slate: Slate | None) -> Slate:
        voice = ask.voice
        assert voice is not None
        batch = edition.batch(ask.user, ask.liked, ask.later and voice.new_users)
        count = min(ask.candidates, len(edition))
        hidden = RaggedArray(np.array([0, len(ask.hidden)], np.int64), ask.hidden)
        with torch.inference_mode():
            if ask.likeness is not None:
                scores = unit_range(np.where(np.isfinite(ask.likeness), ask.likeness, 0.0).astype(np.float32))
                if ask.known and self._can(ask, voice):
                    scores = scores + unit_range(voice.scorer.score(batch)[0].numpy())
                may = self._may(voice, ask) & np.isfinite(ask.likeness)
                return _best(scores, may, ask.hidden, count)
            if voice.index is not None:
                allowed = None if ask.allowed is None else self._may(voice, ask)
                rows, found = voice.index.search(voice.scorer.user_vectors(batch).numpy(), count, allowed, hidden)
            else:
                rows, found = voice.scorer.topk(batch, count, hidden, self._may(voice, ask))
        kept = rows[0] >= 0
        # the index of two editions is one: it may know rows that this edition does not
        kept &= rows[0] < len(edition)
        return Slate(rows[0][kept], found[0][kept])

    def _may(self, voice: Voice, ask: Ask) -> NDArray[np.bool_]:
        return voice.able if ask.allowed is None else voice.able & ask.allowed

    def _can(self, ask: Ask, voice: Voice) -> bool:
        return voice.new_users or ask.user >= 0


def _best(scores: NDArray[np.float32], may: NDArray[np.bool_], hidden: NDArray[np.int64], k: int) -> Slate:
    scores = np.where(may, scores, -np.inf).astype(np.float32)
    scores[hidden] = -np.inf
    values, rows = (found[0].numpy() for found in best(torch.from_numpy(scores)[None], k))
    kept = np.isfinite(values)
    return Slate(rows[kept], values[kept])
