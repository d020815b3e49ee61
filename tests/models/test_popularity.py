import numpy as np
import pytest
import torch

from palate.core.batch import RaggedArray, UserBatch
from palate.core.errors import ConfigError
from palate.models.match.popularity import CountScorer
from palate.ranking.scorer import Scorer


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_one_ranking_for_all_gives_everybody_the_general_lists(k, mask, masked):
    rng = np.random.default_rng(k)
    scorer = CountScorer(torch.from_numpy(rng.integers(0, 6, 30).astype(np.float32)))
    users = UserBatch(np.arange(9), RaggedArray.of([[]] * 9))
    taken = RaggedArray.of([rng.integers(0, 30, size).tolist() for size in (0, 1, 3, 8, 20, 30, 90, 2, 0)])
    allowed = rng.random(30) < 0.6 if mask else None
    exclude = taken if masked else None
    fast, slow = scorer.topk(users, k, exclude, allowed), Scorer.topk(scorer, users, k, exclude, allowed)
    np.testing.assert_array_equal(fast[0], slow[0])
    np.testing.assert_array_equal(fast[1], slow[1])


def test_wrong_requests_are_refused_and_nobody_gets_nothing():
    scorer = CountScorer(torch.arange(4.0))
    nobody = UserBatch(np.arange(0), RaggedArray.of([]))
    assert scorer.topk(nobody, 3)[0].shape == (0, 3)
    with pytest.raises(ConfigError, match="k"):
        scorer.topk(nobody, 0)
