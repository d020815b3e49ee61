"""Scorer of a funnel: lists of the matcher, ordered by the ranker, then by the reranker."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Ranker
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.models.rerank.shared.ranked_lists import PARTIAL, ranked
from palate.ranking.candidates import empty_lists
from palate.ranking.scorer import Scorer

Lists = tuple[IntArray, NDArray[np.float32]]


class FunnelScorer(Scorer):
    """Lists of several stages; it gives no scores of arbitrary items.

    Args:
        first: scorer of the matcher.
        ranker: orders candidates; None keeps their order.
        reranker: orders lists; None keeps their order.
        depth: candidates at least.
        kept: candidates of the reranker at least.
    """

    def __init__(
        self, first: Scorer, ranker: Ranker | None, reranker: ListReranker | None, depth: int, kept: int
    ) -> None:
        super().__init__(first.n_items)
        self.first, self.ranker, self.reranker, self.depth, self.kept = first, ranker, reranker, depth, kept
        self.vectors = None if reranker is None else reranker.item_vectors_of(first)

    @property
    def can_score(self) -> bool:
        """No: the order of a list depends on what else is in it."""
        return False

    @property
    def matcher(self) -> Scorer:
        """The first stage, which scores arbitrary items where it can."""
        return self.first

    @property
    def later_stages(self) -> tuple[str, ...]:
        """Names of the stages after the matcher, in order."""
        parts = (("rank", self.ranker), ("rerank", self.reranker))
        return tuple(name for name, part in parts if part is not None)

    def n_candidates(self, stage: str, k: int) -> int:
        """Candidates that a stage hands on for a list.

        Args:
            stage: ``match``, ``rank`` or ``rerank``.
            k: length of the list.
        """
        if stage == "match":
            return max(k, self.depth if self.ranker is not None else self.kept if self.reranker is not None else k)
        return max(k, self.kept) if stage == "rank" and self.reranker is not None else k

    def run_stage(self, stage: str, users: UserBatch, lists: Lists, k: int) -> Lists:
        """One later stage.

        Args:
            stage: ``rank`` or ``rerank``.
            users: whose lists they are.
            lists: item rows int64 [lists, n] and scores float32 [lists, n] of the stage before.
            k: length of the list that is shown.

        Returns:
            Item rows and scores; as many as :meth:`n_candidates`, or fewer.
        """
        ids, scores = lists
        if stage == "rank":
            assert self.ranker is not None
            ids, scores = ranked(self.ranker, users, ids, scores)
            count = self.n_candidates(stage, k)
            return ids[:, :count], scores[:, :count]
        assert self.reranker is not None
        order = self.reranker.reorder(ids, np.where(ids >= 0, scores, 0), k, users, self.vectors)[:, :k]
        some = np.maximum(order, 0)
        found = np.where(order >= 0, np.take_along_axis(ids, some, 1), -1)
        return found, np.where(order >= 0, np.take_along_axis(scores, some, 1), -np.inf).astype(np.float32)

    def members(self) -> Mapping[str, Scorer]:
        return {"match": self.first}

    def scorable(self) -> NDArray[np.bool_]:
        return self.first.scorable()

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> Lists:
        """Lists of all stages; scores are those of the last that scores."""
        ids, scores = empty_lists(len(users), k)
        for start in range(0, len(users), PARTIAL):
            rows = np.arange(start, min(start + PARTIAL, len(users)))
            batch, out = users.take(rows), None if exclude is None else exclude.take(rows)
            lists: Lists = self.first.topk(batch, self.n_candidates("match", k), out, allowed)
            for stage in self.later_stages:
                lists = self.run_stage(stage, batch, lists, k)
            width = min(k, lists[0].shape[1])
            ids[rows, :width], scores[rows, :width] = lists[0][:, :k], lists[1][:, :k]
        return ids, scores
