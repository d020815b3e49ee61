from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from palate.core.errors import ConfigError, DataError
from palate.metrics.rating import auc, gauc, group_auc, logloss, mae, mean_auc, rmse


def oracle_auc(rows):
    """Over all positive-negative pairs: 1 if ordered, one half if tied."""
    pairs = [(p, q) for y, p in rows if y for z, q in rows if not z]
    return sum(1.0 if p > q else 0.5 if p == q else 0.0 for p, q in pairs) / len(pairs)


samples = st.lists(
    st.tuples(st.booleans(), st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(samples)
def test_auc_and_its_grouped_forms_equal_their_definitions(rows):
    by_user = {u: [(y, s) for y, s, v in rows if v == u] for _, _, u in rows}
    both = {u: part for u, part in by_user.items() if len({y for y, _ in part}) == 2}
    assume(both)
    y, s, u = (np.array(column) for column in zip(*rows))
    each = {user: oracle_auc(part) for user, part in both.items()}
    assert abs(auc(y, s) - oracle_auc([(a, b) for a, b, _ in rows])) <= 1e-12
    assert abs(mean_auc(y, s, u) - sum(each.values()) / len(each)) <= 1e-12
    for weight, size in (("impressions", len), ("positives", lambda part: sum(a for a, _ in part))):
        total = sum(size(part) for part in both.values())
        expected = sum(each[user] * size(part) for user, part in both.items()) / total
        assert abs(gauc(y, s, u, weight) - expected) <= 1e-12
    found = group_auc(y, s, u)
    assert found.groups.tolist() == sorted(both) and found.skipped == len(by_user) - len(both)
    assert found.samples.tolist() == [len(both[user]) for user in sorted(both)]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(samples)
def test_logloss_rmse_and_mae_equal_their_definitions(rows):
    y, p, _ = zip(*rows)
    clipped = [min(max(q, 1e-15), 1 - 1e-15) for q in p]
    expected = -sum(math.log(q) if a else math.log1p(-q) for a, q in zip(y, clipped)) / len(y)
    assert abs(logloss(y, p) - expected) <= 1e-12
    assert abs(rmse(y, p) - math.sqrt(sum((a - q) ** 2 for a, q in zip(y, p)) / len(y))) <= 1e-12
    assert abs(mae(y, p) - sum(abs(a - q) for a, q in zip(y, p)) / len(y)) <= 1e-12


def test_values_computed_by_hand():
    assert auc([1, 0, 1, 0], [0.9, 0.8, 0.4, 0.4]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert auc([1, 0], [3, 3]) == 0.5
    labels, scores, users = [1, 0, 1, 0, 0, 1], [2, 1, 1, 2, 3, 5], ["a", "a", "b", "b", "b", "c"]
    assert gauc(labels, scores, users) == pytest.approx((2 * 1 + 3 * 0) / 5)
    assert mean_auc(labels, scores, users) == pytest.approx(0.5)
    assert logloss([1, 0], [0.5, 0.75]) == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert rmse([1, 2], [1, 4]) == pytest.approx(math.sqrt(2)) and mae([1, 2], [1, 4]) == 1.0


def test_bad_input_is_refused_by_name():
    with pytest.raises(DataError, match="only one label"):
        auc([1, 1], [0.1, 0.2])
    with pytest.raises(DataError, match="only one label"):
        group_auc([1, 0], [0.1, 0.2], [0, 1])
    with pytest.raises(DataError, match=r"row 2.*neither"):
        auc([1, 2], [0.1, 0.2])
    with pytest.raises(DataError, match=r"row 1.*NaN"):
        auc([1, 0], [math.nan, 0.2])
    with pytest.raises(DataError, match="shape"):
        auc([1, 0], [0.1])
    for metric in (auc, logloss):
        with pytest.raises(DataError, match="no labels"):
            metric([], [])
    with pytest.raises(DataError, match="groups"):
        group_auc([1, 0], [0.1, 0.2], [0])
    with pytest.raises(ConfigError, match="unknown weight"):
        gauc([1, 0], [0.1, 0.2], [0, 0], "clicks")
    with pytest.raises(DataError, match=r"row 2.*sigmoid"):
        logloss([1, 0], [0.5, 3.0])
    with pytest.raises(DataError, match=r"row 2.*finite"):
        rmse([1, math.inf], [1, 1])
    with pytest.raises(DataError, match="shape"):
        mae([1], [1, 2])
