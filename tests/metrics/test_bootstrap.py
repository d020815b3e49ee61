from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from palate.core.errors import ConfigError, DataError
from palate.metrics import compare_all, compare_paired, holm, mean_interval
from palate.metrics.bootstrap import resampled_means


@pytest.mark.parametrize("kind", ["continuous", "hits"])
def test_equal_systems_differ_significantly_in_five_percent_of_trials(kind):
    rng = np.random.default_rng(7)
    positive = 0
    for trial in range(400):
        a, b = rng.random((2, 200)) if kind == "continuous" else (rng.random((2, 200)) < 0.3).astype(float)
        positive += compare_paired(a, b, resamples=399, seed=trial).p_value <= 0.05
    assert 0.03 <= positive / 400 <= 0.07


@pytest.mark.parametrize("values", [[0.0, 1.0, 5.0, 6.5], [0.0] * 40 + [1.0] * 24])
def test_resampled_means_follow_the_exact_distribution(values):
    values = np.array(values)
    found = resampled_means(values, 40_000, seed=1)
    if len(values) == 4:
        exact = np.array([np.mean(draw) for draw in itertools.product(values, repeat=4)])
        points = np.unique(exact)
        apart = [abs((found <= x + 1e-9).mean() - (exact <= x + 1e-9).mean()) for x in points]
        assert max(apart) < 1.63 / np.sqrt(40_000)  # Kolmogorov-Smirnov, 1 %
    assert abs(found.mean() - values.mean()) < 4 * values.std() / np.sqrt(len(values) * 40_000)
    assert found.std() == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.02)


def test_the_interval_is_close_to_the_normal_one_and_covers_the_difference():
    rng = np.random.default_rng(0)
    b = rng.random(2000)
    a = b + rng.normal(0.02, 0.2, 2000)
    result = compare_paired(a, b)
    error = (a - b).std() / np.sqrt(2000)
    assert result.difference == pytest.approx((a - b).mean())
    assert result.low == pytest.approx(result.difference - 1.96 * error, abs=0.1 * error)
    assert result.high == pytest.approx(result.difference + 1.96 * error, abs=0.1 * error)
    assert (result.mean_a, result.mean_b) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
    assert result.p_value < 0.01 and (result.n_users, result.n_draws, result.resamples) == (2000, 1, 10_000)
    assert (result.n_seeds, result.freedom) == (1, None)
    flipped = compare_paired(b, a)
    assert flipped.difference == -result.difference and flipped.p_value == pytest.approx(result.p_value, abs=1e-3)


def test_same_seed_same_result_and_other_seed_another():
    a, b = np.random.default_rng(1).random((2, 100))
    assert compare_paired(a, b, 500) == compare_paired(a, b, 500)
    assert compare_paired(a, b, 500) != compare_paired(a, b, 500, seed=1)


def test_no_difference_at_all_has_p_one():
    a = np.random.default_rng(1).random(50)
    result = compare_paired(a, a, 100)
    assert (result.difference, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_draws_count_their_own_spread_not_only_their_users():
    rng = np.random.default_rng(3)
    # between draws the difference varies a lot; within a draw hardly
    a = [rng.normal(level, 0.1, size) for level, size in ((0, 50), (10, 400), (2, 100))]
    b = [np.zeros(50), np.zeros(400), np.zeros(100)]
    result = compare_paired(a, b)
    means = np.array([draw.mean() for draw in a])
    assert result.difference == pytest.approx(means.mean())
    # two degrees of freedom: t = 4.303
    assert (result.high - result.low) / 2 == pytest.approx(4.3027 * means.std(ddof=1) / np.sqrt(3), rel=1e-4)
    assert (result.n_users, result.n_draws, result.n_seeds, result.freedom) == (550, 3, 3, 2)


def test_mean_interval_counts_seeds():
    values = np.array([[0.1, 0.3], [0.2, 0.4], [0.6, 0.8]])
    mean, low, high = mean_interval(values)
    users, seeds = 0.02 / 2, 0.07 / 3  # no interaction: every seed shifts both users alike
    freedom = (users + seeds) ** 2 / (users**2 / 1 + seeds**2 / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(users + seeds)
    assert (mean, low, high) == pytest.approx((0.4, 0.4 - half, 0.4 + half))


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).tolist() == []


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.02, 0.05])), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    adjusted = holm(p)
    for alpha in (0.0123, 0.0507, 0.21):
        order = sorted(range(len(p)), key=lambda i: p[i])
        rejected = set()
        for step, i in enumerate(order):
            if p[i] * (len(p) - step) > alpha:
                break
            rejected.add(i)
        assert set(np.flatnonzero(adjusted <= alpha).tolist()) == rejected


def test_compare_all_corrects_for_the_number_of_systems():
    rng = np.random.default_rng(4)
    base = rng.random(300)
    found = compare_all(base, {"same": rng.random(300), "better": base + 0.1 + 0.01 * rng.random(300)}, 999)
    assert found["better"].p_adjusted == pytest.approx(2 * found["better"].p_value) and found["better"].difference > 0
    assert found["same"].p_adjusted == pytest.approx(found["same"].p_value) and found["same"].p_value > 0.01


def test_mean_interval_brackets_the_mean():
    values = np.random.default_rng(5).random(400)
    mean, low, high = mean_interval(values, 2000)
    assert mean == pytest.approx(values.mean()) and low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_memory_stays_bounded():
    values = np.random.default_rng(6).random(35_000)
    tracemalloc.start()
    resampled_means(values, 600, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20  # all at once would be 168 MB of values and 84 MB of indices


def test_bad_input_is_refused_by_name():
    with pytest.raises(DataError, match="users per draw differ"):
        compare_paired(np.ones(3), np.ones(4))
    with pytest.raises(DataError, match=r"'b'.*not finite"):
        compare_paired(np.ones(2), np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="no users"):
        compare_paired(np.ones(0), np.ones(0))
    with pytest.raises(DataError, match="shape"):
        compare_paired(np.ones((1, 1, 1)), np.ones(1))
    with pytest.raises(ConfigError, match="confidence"):
        compare_paired(np.ones(2), np.ones(2), confidence=1.0)
    with pytest.raises(DataError, match="p-values"):
        holm([1.2])
