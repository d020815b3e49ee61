"""Metric-1vsN (Chen et al., ICASSP 2021): a user is nearer to what they took than to N tracks that they did not.

r(u, a) = cos(u, f(a)), one network f for all tracks; L = sum_n max(0, margin - r(u, a+) + r(u, a-_n)).

Our choices: see ``_listening``; the tower is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor

from palate.contracts import pretrainers
from palate.losses.ranking import hinge
from palate.modules.users import CosineRelevance

from ._listening import Listening

if TYPE_CHECKING:
    from palate.data.views import TrainView


@pretrainers.register("metric_1vsn")
class Metric(Listening):
    """Audio embeddings in the space of listeners."""

    name = "metric_1vsn"
    paper = "Chen et al., Learning Audio Embeddings with User Listening Data, ICASSP 2021"

    class Config(Listening.Config):
        """margin: by which a positive has to win."""

        margin: float = Field(0.2, gt=0)

    config: Config

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        self.relevance = CosineRelevance()

    def compare(self, pos: Tensor, neg: Tensor) -> Tensor:
        return hinge(pos, neg, self.config.margin) * neg.shape[1]
