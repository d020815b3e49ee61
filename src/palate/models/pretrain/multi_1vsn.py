"""Multi-1vsN (Chen et al., ICASSP 2021): which of N + 1 tracks did this user take?

r(u, a) is a two-layer net on [u; f(a)], the same for all tracks; L = -log softmax over the positive and its N negatives
of r.

Our choices: see ``_listening``; the net also sees the product of the two vectors; the tower is small.
"""

from __future__ import annotations

from torch import Tensor

from palate.contracts import pretrainers
from palate.losses.ranking import sampled_softmax

from ._listening import LearntRelevance


@pretrainers.register("multi_1vsn")
class Multi(LearntRelevance):
    """Audio embeddings from choices among tracks."""

    name = "multi_1vsn"
    paper = "Chen et al., Learning Audio Embeddings with User Listening Data, ICASSP 2021"

    def compare(self, pos: Tensor, neg: Tensor) -> Tensor:
        return sampled_softmax(pos, neg)
