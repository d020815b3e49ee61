"""Minimum-Bayes-risk choice: of several candidates, the one that is most like all the others.

Kumar and Byrne, *Minimum Bayes-risk decoding for statistical machine translation*, NAACL 2004. The likeness is the mean
of ROUGE-1 and ROUGE-L (F1 over words in lower case), in which a candidate's own copy does not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from palate.core.errors import DataError, MissingDependencyError
from palate.generation.scoring.overlap import Scores

_WORD = re.compile(r"[^\W_]+")


def consensus(candidates: Sequence[str], weights: Sequence[float] | None = None) -> Scores:
    """How much each candidate is like the others.

    Args:
        candidates: texts for the same request.
        weights: how much each candidate counts as one of the others; equal by default.

    Returns:
        float64 [n] in [0, 1], the higher the better; 0 where there is no other.

    Raises:
        DataError: if the numbers of candidates and weights differ.
        MissingDependencyError: without rapidfuzz.
    """
    try:
        from rapidfuzz.distance import LCSseq
    except ImportError:
        raise MissingDependencyError("rapidfuzz", "generate") from None
    if weights is not None and len(weights) != len(candidates):
        raise DataError(f"{len(weights)} weights for {len(candidates)} candidates", key="weights")
    words = [_WORD.findall(text.lower()) for text in candidates]
    bags = [Counter(one) for one in words]
    like = np.zeros((len(words), len(words)))
    for i in range(len(words)):
        for j in range(i):
            shared = (bags[i] & bags[j]).total() + LCSseq.similarity(words[i], words[j])
            like[i, j] = like[j, i] = shared / max(len(words[i]) + len(words[j]), 1)
    share = np.ones(len(words)) if weights is None else np.asarray(weights, np.float64)
    others = share.sum() - share
    scores: Scores = np.divide(like @ share, others, out=np.zeros(len(words)), where=others > 0)
    return scores
