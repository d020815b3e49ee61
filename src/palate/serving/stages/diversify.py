"""Diversity slider: maximal marginal relevance over the vectors of the candidates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from palate.models.rerank.mmr import mmr

from .stage import Ask, Slate, Stage, stages


@stages.register("diversify")
class Diversify(Stage):
    """Reorders candidates when the request asks for diversity.

    Args:
        vectors: rows int64 [n] -> float32 [n, d].
    """

    name = "diversify"

    def __init__(self, vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> None:
        self.vectors = vectors

    def run(self, ask: Ask, slate: Slate | None) -> Slate:
        assert slate is not None
        if not ask.diversity:
            return slate
        return slate.take(mmr(slate.scores, self.vectors(slate.rows), ask.k, ask.diversity))
