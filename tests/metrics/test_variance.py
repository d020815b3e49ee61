from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from palate.metrics import compare_paired
from palate.metrics.variance import StandardError, crossed_error, nested_error


def runs(rng, seeds, users, by_seed, by_user, both):
    """[seeds, users]: user effects are the same for all calls with the same generator state of ``by_user``."""
    return rng.normal(0, by_seed, (seeds, 1)) + by_user + rng.normal(0, both, (seeds, users))


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("by_seed, own", [(0.05, 0.0), (0.05, 0.3), (0.02, 0.3), (0.0, 0.3), (0.0, 0.1)])
def test_equal_systems_differ_in_five_percent_of_trials_whatever_varies(seeds, by_seed, own):
    rng = np.random.default_rng(1)
    rejected, by_users = 0, 0
    for _ in range(1000):
        user = rng.normal(0, 1, 100)
        a = runs(rng, seeds, 100, by_seed, user + rng.normal(0, own, 100), 0.2)
        b = runs(rng, seeds, 100, by_seed, user + rng.normal(0, own, 100), 0.2)
        rejected += compare_paired(a, b).p_value <= 0.05
        error = (a.mean(0) - b.mean(0)).std(ddof=1) / 10
        by_users += abs((a - b).mean()) > 1.96 * error
    assert 0.03 <= rejected / 1000 <= 0.07
    if by_seed == 0.05 and own == 0.0:
        assert by_users / 1000 > 0.3  # what an interval over users alone would claim


def test_equal_systems_on_draws_differ_in_five_percent_of_trials():
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(1000):
        level = rng.normal(0, 1, 3)
        a, b = ([rng.normal(x + rng.normal(0, 0.05), 0.3, 80) for x in level] for _ in range(2))
        rejected += compare_paired(a, b).p_value <= 0.05
    assert 0.03 <= rejected / 1000 <= 0.07


def test_components_by_hand():
    a = np.array([[1.0, 2.0, 6.0], [3.0, 5.0, 7.0]])
    b = np.array([[0.0, 1.0, 2.0]])
    found = crossed_error(a, b)
    rest = a - a.mean(1, keepdims=True) - a.mean(0) + a.mean()
    d = np.array([2.0, 3.5, 6.5]) - b[0]
    users = d.var(ddof=1) / 3 - (rest**2).sum() / 2 / (2 * 3)
    seeds = np.array([3.0, 5.0]).var(ddof=1) / 2
    total = users + seeds
    assert found.variance == pytest.approx(total)
    assert found.freedom == pytest.approx(total**2 / (users**2 / 2 + seeds**2 / 1))


def test_users_that_differ_by_chance_only_add_nothing():
    a = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]])
    b = 1 - a
    shifted = a + np.array([[0.0], [0.3], [0.6]])
    assert crossed_error(shifted, b).variance == pytest.approx(np.var([0.0, 0.3, 0.6], ddof=1) / 3)


def test_a_system_whose_seeds_agree_adds_no_variance_of_seeds():
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 50))
    alone = crossed_error(a[None], b[None])
    assert alone.variance == pytest.approx((a - b).var(ddof=1) / 50) and alone.freedom == pytest.approx(49)
    again = crossed_error(np.stack([a] * 3), np.stack([b] * 3))
    assert (again.variance, again.freedom) == (pytest.approx(alone.variance), pytest.approx(alone.freedom))


def test_nothing_varies():
    none = crossed_error(np.ones((3, 4)), np.ones((3, 4)))
    assert (none.variance, none.half_width(0.95), none.p_value(0.0), none.p_value(0.1)) == (0.0, 0.0, 1.0, 0.0)


def test_interval_and_p_value_agree_with_student():
    draws = [np.array([0.1, 0.3]), np.array([0.4]), np.array([0.3, 0.2, 0.4])]
    means = [0.2, 0.4, 0.3]
    error = nested_error(draws)
    reference = stats.ttest_1samp(means, 0.0)
    assert error.p_value(float(np.mean(means))) == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.9)
    assert np.mean(means) - error.half_width(0.9) == pytest.approx(interval.low)
    assert StandardError(4.0, 1e9).half_width(0.95) == pytest.approx(2 * 1.96, abs=1e-3)


def test_more_seeds_narrow_an_interval_that_seeds_made_wide():
    rng = np.random.default_rng(4)
    user = rng.normal(0, 1, 200)
    a, b = (runs(rng, 10, 200, 0.1, user, 0.1) for _ in range(2))
    few, many = compare_paired(a[:3], b[:3]), compare_paired(a, b)
    assert few.high - few.low > 1.5 * (many.high - many.low)
    assert (few.n_seeds, many.n_seeds, few.n_users) == (3, 10, 200)
