"""DPP (Chen, Zhang & Zhou, NeurIPS 2018): lists that a determinantal point process finds likely, chosen greedily.

P(Y) ~ exp(theta sum r_i) det(S_Y)^(1 - theta): relevance times the volume that the items' vectors span. The choice
by an incremental Cholesky factor is in palate.ranking.dpp. Ours: r_i is the z-score within the candidates.
"""

from __future__ import annotations

from pydantic import Field

from palate.contracts import models
from palate.core.batch import IntArray
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import VectorRerankConfig
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.dpp import dpp_lists
from palate.ranking.greedy import standardised


@models.register("dpp")
class DPP(ListReranker):
    """Relevant items that span a large volume together."""

    name = "dpp"
    paper = "Chen, Zhang & Zhou, Fast Greedy MAP Inference for Determinantal Point Process, NeurIPS 2018"

    class Config(VectorRerankConfig):
        """Settings."""

        diversity: float = Field(
            0.5,
            ge=0,
            le=1,
            description="1 - theta, from 0 (by relevance) to 1 (by volume)",
            json_schema_extra={"search": "0.0..0.9"},
        )
        append_bias: bool = Field(True, description="items are similar by (1 + cosine) / 2; else by their cosine")

    config: Config

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        relevance, c = standardised(lists.scores, lists.known), self.config
        return dpp_lists(relevance, lists.vectors, k, c.diversity, lists.known, c.append_bias)
