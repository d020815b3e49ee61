"""Audio embeddings from listening data: Basic-Binary, Multi-1vsN and Metric-1vsN (Chen et al., ICASSP 2021), and DCUE.

One network f encodes every track, r(u, a) is the relevance of track a to user u, and a positive a+ is compared with
N negatives a-_n. The four systems differ in r, in the loss, and in where the user vector comes from:

- Basic-Binary: r is a two-layer net on [u; f(a)]; L = BCE(sigmoid(r), y) over a+ and the a-_n. Each pair is judged by
  itself: the weakest of the paper's four networks, since nothing compares a user's tracks with each other.
- Multi-1vsN: the same r; L = -log softmax of r over a+ and the a-_n.
- Metric-1vsN: r(u, a) = cos(u, f(a)); L = sum_n max(0, margin - r(u, a+) + r(u, a-_n)).
- DCUE-1vsN (Lee et al., DLRS 2018; a baseline of Chen et al.): r and L of Metric-1vsN, but the user is a free vector
  x_u, learnt with the network, and not read from a history.

Our choices: see :class:`palate.models.pretrain.shared.music.MusicPretrainer`; the net of the first two also reads the
product of the two vectors; the tower is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import RaggedArray
from palate.core.context import RunContext
from palate.losses.ranking import hinge, sampled_softmax
from palate.models.pretrain.shared.music import LearntRelevance, MusicPretrainer
from palate.modules.users import CosineRelevance, UserTable

if TYPE_CHECKING:
    from palate.data.views import TrainView

CHEN = "Chen et al., Learning Audio Embeddings with User Listening Data, ICASSP 2021"


@pretrainers.register("basic_binary")
class BasicBinary(LearntRelevance):
    """Audio embeddings from likes, pair by pair."""

    name = "basic_binary"
    paper = CHEN

    def ranking_loss(self, pos: Tensor, neg: Tensor) -> Tensor:
        return (F.softplus(-pos).sum() + F.softplus(neg).sum()) / (pos.numel() + neg.numel())


@pretrainers.register("multi_1vsn")
class Multi1vsN(LearntRelevance):
    """Audio embeddings from choices among tracks."""

    name = "multi_1vsn"
    paper = CHEN

    def ranking_loss(self, pos: Tensor, neg: Tensor) -> Tensor:
        return sampled_softmax(pos, neg)


@pretrainers.register("metric_1vsn")
class Metric1vsN(MusicPretrainer):
    """Audio embeddings in the space of listeners."""

    name = "metric_1vsn"
    paper = CHEN

    class Config(MusicPretrainer.Config):
        """Settings of the hinge."""

        margin: float = Field(0.2, gt=0, description="margin by which a positive must score above a negative")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.relevance = CosineRelevance()

    def ranking_loss(self, pos: Tensor, neg: Tensor) -> Tensor:
        return hinge(pos, neg, self.config.margin) * neg.shape[1]


@pretrainers.register("dcue")
class DCUE(Metric1vsN):
    """Deep content-user embedding."""

    name = "dcue"
    paper = "Lee et al., Deep Content-User Embedding Model for Music Recommendation, DLRS 2018"

    def user_encoder(self, history: RaggedArray, n_items: int) -> nn.Module:
        return UserTable(len(history), self.config.width)
