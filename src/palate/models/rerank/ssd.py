"""SSD (Huang, Wang, Zhang & Xu, KDD 2021): each item adds volume to the window of items shown before it.

The list is seen as a series that a reader scrolls through: what left the window counts less. The greedy choice by
modified Gram-Schmidt is in palate.ranking.ssd, with the paper's stable objective (its eq. 12).
"""

from __future__ import annotations

from pydantic import Field

from palate.contracts import models
from palate.core.batch import IntArray
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import VectorRerankConfig
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.ssd import ssd_lists


@models.register("ssd")
class SSD(ListReranker):
    """Relevant items, each unlike those in a sliding window before it."""

    name = "ssd"
    paper = "Huang et al., Sliding Spectrum Decomposition for Diversified Recommendation, KDD 2021"

    class Config(VectorRerankConfig):
        """Settings."""

        diversity: float = Field(
            0.5,
            ge=0,
            le=1,
            description="1 - theta, from 0 (by relevance) to 1 (by volume)",
            json_schema_extra={"search": "0.0..0.9"},
        )
        gamma: float = Field(1.0, gt=0, description="factor on the volume that an item adds")
        window: int | None = Field(
            None, ge=1, description="items that a new one should differ from; None takes the whole list"
        )
        append_bias: bool = Field(True, description="append a constant 1 to the unit vectors")
        normalize_scores: bool = Field(True, description="relevance is the z-score within the candidates")
        recent: int = Field(0, ge=0, description="newest items of the history that the window starts with")

    config: Config

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        c = self.config
        return ssd_lists(
            lists.scores,
            lists.vectors,
            k,
            c.diversity,
            lists.known,
            gamma=c.gamma,
            window=c.window,
            append_bias=c.append_bias,
            normalize_scores=c.normalize_scores,
            recent=lists.recent(c.recent),
        )
