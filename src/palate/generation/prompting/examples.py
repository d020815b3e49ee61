"""Choosing documents or solved examples for a query: at random, the latest, by BM25, by vectors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Encoder
from palate.core.errors import MissingDependencyError
from palate.core.registry import Registry
from palate.core.seeding import rng_for
from palate.generation.facts.words import key_of, stem
from palate.generation.scoring.semantic import text_encoder, unit_vectors


class ExampleSelector(Protocol):
    """Chooses among documents."""

    def select(self, query: str, documents: Sequence[str], k: int) -> list[int]:
        """Places of at most k documents, the best first.

        Args:
            query: text that they are to help with.
            documents: texts, oldest first.
            k: documents at most.
        """
        ...


selectors: Registry[type[ExampleSelector]] = Registry("example selector", ("palate.generation.prompting",))


def _best(scores: NDArray, k: int) -> list[int]:
    """Highest scores first; among equals the latest document."""
    order = np.lexsort((-np.arange(len(scores)), -scores))
    return [int(place) for place in order[:k]]


@selectors.register("random")
class RandomSelector:
    """Documents at random; the same for the same query and seed.

    Args:
        seed: of the draw.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def select(self, query: str, documents: Sequence[str], k: int) -> list[int]:
        rng = rng_for(self.seed, "examples", query)
        return [int(place) for place in rng.permutation(len(documents))[:k]]


@selectors.register("recency")
class RecencySelector:
    """The latest documents."""

    def select(self, query: str, documents: Sequence[str], k: int) -> list[int]:
        return list(range(len(documents)))[::-1][:k]


@selectors.register("bm25")
class Bm25Selector:
    """BM25 (Robertson and Zaragoza 2009) by bm25s over stems; among documents without a common word, the latest.

    Args:
        k1: saturation of counts.
        b: weight of the length.
    """

    def __init__(self, k1: float = 1.5, b: float = 0.75) -> None:
        self.k1, self.b = k1, b

    def select(self, query: str, documents: Sequence[str], k: int) -> list[int]:
        """Places of at most k documents, the best first.

        Args:
            query: text that they are to help with.
            documents: texts, oldest first.
            k: documents at most.

        Raises:
            MissingDependencyError: without bm25s.
        """
        try:
            from bm25s import BM25
        except ImportError:
            raise MissingDependencyError("bm25s", "generate") from None
        # it sets its own level so low that each index is logged
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        stems = [[stem(word) for word in key_of(text)] for text in documents]
        ids: dict[str, int] = {}
        rows = [[ids.setdefault(word, len(ids)) for word in words] for words in stems]
        asked = [ids[word] for word in map(stem, key_of(query)) if word in ids]
        scores = np.zeros(len(documents), np.float32)
        if asked:
            bm25 = BM25(k1=self.k1, b=self.b, method="lucene")
            bm25.index((rows, ids), show_progress=False)
            scores = bm25.get_scores_from_ids(asked)
        return _best(scores, k)


@selectors.register("dense")
class DenseSelector:
    """Cosine of sentence vectors.

    Args:
        encoder: of texts, pooled; MiniLM by default.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        self.encoder = encoder

    def select(self, query: str, documents: Sequence[str], k: int) -> list[int]:
        if not documents:
            return []
        vectors = unit_vectors(self.encoder or text_encoder(), [query, *documents])
        return _best(vectors[1:] @ vectors[0], k)
