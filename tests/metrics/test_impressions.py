"""Metrics by impression, on cases worked out by hand and against the ungrouped AUC."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.metrics.impressions import grouped_metrics, placement_values
from palate.metrics.rating import auc, group_auc, logloss


def test_a_case_worked_out_by_hand():
    # impression 7: ranks are b 1 (0), a 2 (1), d 3 (0), c 4 (1); impression 9: all clicked; 11: one clicked of two
    labels = [1, 0, 1, 0, 1, 1, 0, 1]
    scores = [2.0, 3.0, 0.5, 1.0, 0.0, -1.0, 0.4, 0.3]
    groups = [7, 7, 7, 7, 9, 9, 11, 11]
    found = grouped_metrics(labels, scores, groups, ks=(1, 2, 5))
    np.testing.assert_allclose(found["group_auc"], [0.25, np.nan, 0])
    np.testing.assert_allclose(found["mrr"], [(1 / 2 + 1 / 4) / 2, np.nan, 1 / 2])
    np.testing.assert_allclose(found["ndcg@1"], [0, np.nan, 0])
    third, ideal = 1 / np.log2(3), 1 + 1 / np.log2(3)
    np.testing.assert_allclose(found["ndcg@2"], [third / ideal, np.nan, third])
    np.testing.assert_allclose(found["ndcg@5"][0], (third + 1 / np.log2(5)) / ideal)
    p = 1 / (1 + np.exp(-np.array(scores)))
    np.testing.assert_allclose(found["log_loss"][1], logloss([1, 1], p[4:6]))


@given(st.integers(0, 10_000))
def test_components_average_to_the_auc(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(40) < 0.4
    labels[:2] = [True, False]
    scores = rng.integers(0, 6, 40).astype(float)
    groups = rng.integers(0, 6, 40)
    np.testing.assert_allclose(placement_values(labels, scores).mean(), auc(labels, scores))
    both = grouped_metrics(labels, scores, groups)["group_auc"]
    np.testing.assert_allclose(both[~np.isnan(both)], group_auc(labels, scores, groups).auc)


def test_no_negatives_and_bad_input():
    assert np.isnan(placement_values([1, 1], [0.0, 1.0])).all()
    with pytest.raises(DataError, match="NaN"):
        placement_values([1, 0], [np.nan, 1.0])
    with pytest.raises(DataError, match="groups"):
        grouped_metrics([1, 0], [0.0, 1.0], [1])
