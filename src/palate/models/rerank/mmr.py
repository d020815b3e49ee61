"""MMR (Carbonell & Goldstein, SIGIR 1998): the lists of a matcher, reordered so that items differ from each other.

The formula is in palate.ranking.mmr; items are compared by the item vectors of the matcher, or by their content.
"""

from __future__ import annotations

from pydantic import Field

from palate.contracts import models
from palate.core.batch import IntArray
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import VectorRerankConfig
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.mmr import mmr_lists


@models.register("mmr")
class MMR(ListReranker):
    """Relevant items that differ from those before them."""

    name = "mmr"
    paper = "Carbonell & Goldstein, The Use of MMR, Diversity-Based Reranking, SIGIR 1998"

    class Config(VectorRerankConfig):
        """Settings."""

        diversity: float = Field(
            0.3, ge=0, le=1, description="from 0 (by relevance) to 1", json_schema_extra={"search": "0.0..0.8"}
        )

    config: Config

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        return mmr_lists(lists.scores, lists.vectors, k, self.config.diversity, lists.known)
