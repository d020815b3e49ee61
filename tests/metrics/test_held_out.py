"""Lists with items that a model cannot score."""

import numpy as np
import pytest
import torch

from palate.core.batch import RaggedArray, UserBatch
from palate.data.views import EvaluationQueries
from palate.metrics.held_out import RandomFill, rank_held_out
from palate.ranking.scorer import Scorer, VectorScorer


class ListsOnly(Scorer):
    """Lists by the scores of another scorer, and refuses to score."""

    def __init__(self, base):
        super().__init__(base.n_items)
        self.base = base

    @property
    def can_score(self):
        return False

    def scorable(self):
        return self.base.scorable()

    def score(self, users, items=None):
        raise AssertionError("a scorer that only lists was asked for scores")

    def topk(self, users, k, exclude=None, allowed=None):
        return self.base.topk(users, k, exclude, allowed)


def shop(n_known, seed=0):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    unknown = np.ones(40, bool)
    unknown[rng.choice(40, n_known, replace=False)] = False
    base = VectorScorer(torch.randn(9, 4), torch.randn(40, 4), known=~unknown)
    history = RaggedArray.of([rng.choice(40, 3, replace=False).tolist() for _ in range(9)])
    return base, unknown, UserBatch(np.arange(9), history), rng


@pytest.mark.parametrize("n_known", [2, 6, 30])
@pytest.mark.parametrize("restricted", [False, True])
def test_unknown_items_follow_the_known_ones_as_a_dense_ranking_has_them(n_known, restricted):
    base, unknown, users, rng = shop(n_known)
    allowed = rng.random(40) < 0.7 if restricted else None
    filled = RandomFill(base, unknown)
    found = filled.topk(users, 5, users.history, allowed)
    for got, dense in zip(found, Scorer.topk(filled, users, 5, users.history, allowed)):
        np.testing.assert_array_equal(got, dense)
    assert (found[0] >= 0).all()


@pytest.mark.parametrize("n_known", [0, 2, 6, 30])
@pytest.mark.parametrize("allowed", [None, np.arange(3, 30)])
def test_lists_of_a_scorer_without_scores_are_filled_likewise(n_known, allowed):
    base, unknown, users, _ = shop(n_known)
    plain, lists = RandomFill(base, unknown), RandomFill(ListsOnly(base), unknown)
    assert plain.can_score and not lists.can_score
    for got, expected in zip(
        lists.topk(users, 5, users.history, allowed), plain.topk(users, 5, users.history, allowed)
    ):
        np.testing.assert_array_equal(got, expected)


def test_a_list_ends_where_candidates_end():
    base, unknown, users, _ = shop(2)
    ids, scores = RandomFill(ListsOnly(base), unknown).topk(users, 5, None, np.arange(4))
    assert (ids[:, :4] >= 0).all() and (ids[:, 4] == -1).all() and (scores[:, 4] == -np.inf).all()
    assert all(sorted(row[:4]) == [0, 1, 2, 3] for row in ids.tolist())


def test_unknown_candidates_are_ranked_by_chance_and_not_by_row():
    users = UserBatch(np.arange(300), RaggedArray.of([[row % 40] for row in range(300)]))
    queries = EvaluationQueries(users, RaggedArray.of([[0]] * 300), RaggedArray.of([[]] * 300), np.arange(40) < 20)
    blind = VectorScorer(torch.zeros(300, 4), torch.zeros(40, 4), known=np.zeros(40, bool))
    lists = rank_held_out(blind, queries, 5)
    assert (lists < 20).all() and (lists >= 0).all()
    counts = np.bincount(lists.ravel(), minlength=20)
    assert counts.min() > 40 and counts.max() < 120, "each of 20 items stands in about 75 lists"


def test_held_out_queries_are_ranked_without_scores():
    base, _, users, _ = shop(3)
    relevant = RaggedArray.of([[row] for row in range(9)])
    queries = EvaluationQueries(users=users, relevant=relevant, exclude=users.history, candidates=None)
    np.testing.assert_array_equal(rank_held_out(ListsOnly(base), queries, 8), rank_held_out(base, queries, 8))
