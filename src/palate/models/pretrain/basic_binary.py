"""Basic-Binary (Chen et al., ICASSP 2021): does this user like this track? Every pair is judged by itself.

r(u, a) is a two-layer net on [u; f(a)]; L = BCE(sigmoid(r), y) over a positive and its N negatives. The weakest of the
paper's four networks: nothing compares a user's tracks with each other.

Our choices: see ``_listening``; the net also sees the product of the two vectors; the tower is small.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from palate.contracts import pretrainers

from ._listening import LearntRelevance


@pretrainers.register("basic_binary")
class BasicBinary(LearntRelevance):
    """Audio embeddings from likes, pair by pair."""

    name = "basic_binary"
    paper = "Chen et al., Learning Audio Embeddings with User Listening Data, ICASSP 2021"

    def compare(self, pos: Tensor, neg: Tensor) -> Tensor:
        return (F.softplus(-pos).sum() + F.softplus(neg).sum()) / (pos.numel() + neg.numel())
