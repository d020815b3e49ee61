"""DCUE-1vsN (Lee et al., DLRS 2018; a baseline of Chen et al., ICASSP 2021): content and user embeddings in one space.

The user is a free vector x_u, learnt with the network: r(u, a) = cos(x_u, f(a)) and
L = sum_n max(0, margin - r(u, a+) + r(u, a-_n)).

Our choices: see ``_listening``; the tower is small.
"""

from __future__ import annotations

from torch import nn

from palate.contracts import pretrainers
from palate.core.batch import RaggedArray
from palate.modules.users import UserTable

from .metric_1vsn import Metric


@pretrainers.register("dcue")
class DCUE(Metric):
    """Deep content-user embedding."""

    name = "dcue"
    paper = "Lee et al., Deep Content-User Embedding Model for Music Recommendation, DLRS 2018"

    def listeners(self, history: RaggedArray, n_items: int) -> nn.Module:
        return UserTable(len(history), self.config.width)
