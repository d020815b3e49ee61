"""BM25 over one field of the catalogue (Robertson and Zaragoza 2009), in the variant of Lucene, by bm25s."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bm25s import BM25

K1, B = 1.2, 0.75


@dataclass(frozen=True)
class FieldIndex:
    """The index of one field; a document that came later is scored by the same statistics.

    Attributes:
        size: number of documents.
        counts: word -> number of documents that hold it.
        ids: word -> number of the word in ``bm25``.
        mean_length: mean number of tokens of a document.
        bm25: the index; None where no document has a token.
    """

    size: int
    counts: Mapping[str, int]
    ids: Mapping[str, int]
    mean_length: float
    bm25: BM25 | None

    @classmethod
    def build(cls, documents: Sequence[Sequence[str]]) -> FieldIndex:
        """Index the tokens of each document.

        Args:
            documents: tokens by row.
        """
        from bm25s import BM25

        counts = Counter(word for tokens in documents for word in set(tokens))
        ids = {word: at for at, word in enumerate(counts)}
        if not ids:
            return cls(len(documents), counts, ids, 1.0, None)
        bm25 = BM25(k1=K1, b=B, method="lucene")
        bm25.index(([[ids[word] for word in tokens] for tokens in documents], ids), show_progress=False)
        return cls(len(documents), counts, ids, sum(map(len, documents)) / len(documents), bm25)

    def scores(self, word: str) -> NDArray[np.float32] | None:
        """Score of each document for a word, float32 [size]; None where none holds it.

        Args:
            word: the word.
        """
        if self.bm25 is None or word not in self.ids:
            return None
        scores: NDArray[np.float32] = self.bm25.get_scores_from_ids([self.ids[word]])
        return scores

    def score(self, word: str, tokens: Sequence[str]) -> float:
        """Score of a document that is not in the index.

        Args:
            word: the word.
            tokens: tokens of the document.
        """
        times = tokens.count(word)
        saturation = K1 * (1 - B + B * len(tokens) / self.mean_length)
        return idf(self.counts.get(word, 0), self.size) * times / (times + saturation)


def idf(count: int, size: int) -> float:
    """Weight of a word that ``count`` of ``size`` documents hold."""
    return math.log(1 + (size - count + 0.5) / (count + 0.5))
