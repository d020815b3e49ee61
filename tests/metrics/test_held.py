"""Lists with items that a model knows nothing about."""

import numpy as np
import pytest
import torch

from palate.core.batch import RaggedArray, UserBatch
from palate.metrics.held import RandomFill
from palate.ranking.scorer import Scorer, VectorScorer


@pytest.mark.parametrize("n_known", [2, 6, 30])
@pytest.mark.parametrize("some", [False, True])
def test_unknown_items_follow_the_known_ones_as_a_dense_ranking_has_them(n_known, some):
    rng = np.random.default_rng(0)
    unknown = np.ones(40, bool)
    unknown[rng.choice(40, n_known, replace=False)] = False
    base = VectorScorer(torch.randn(9, 4), torch.randn(40, 4), known=~unknown)
    history = RaggedArray.of([rng.choice(40, 3, replace=False).tolist() for _ in range(9)])
    users, allowed = UserBatch(np.arange(9), history), rng.random(40) < 0.7 if some else None
    filled = RandomFill(base, unknown)
    found = filled.topk(users, 5, history, allowed)
    for got, dense in zip(found, Scorer.topk(filled, users, 5, history, allowed)):
        np.testing.assert_array_equal(got, dense)
    assert (found[0] >= 0).all()
