"""Reranking: the lists of a first stage in another order; judged by what was taken, and by how the items differ."""

from __future__ import annotations

from typing import ClassVar

from palate.contracts import tasks
from palate.data.dataset import Dataset
from palate.evaluation.tasks.match import MatchTask


class RerankTask(MatchTask):
    """The questions of retrieval, with order in the headline; diversity, coverage and novelty stand beside it."""

    name: ClassVar[str] = "rerank"

    def headline(self, data: Dataset) -> str:
        """NDCG@10, which counts the order."""
        return "ndcg@10"

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """NDCG and recall of short lists."""
        return ("ndcg@5", "ndcg@10", "recall@10", "mrr@10")

    def tested(self, data: Dataset) -> tuple[str, ...]:
        """The headline and recall@10."""
        return ("ndcg@10", "recall@10")


tasks.register("rerank")(RerankTask())
