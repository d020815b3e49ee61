import time

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from palate.core.errors import DataError
from palate.data.sampling import Negatives, PairedNegatives


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_never_a_positive_and_only_allowed_items(data):
    n_users, n_items = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    seen = rng.random((n_users, n_items)) < data.draw(st.floats(0, 1))
    allowed = data.draw(st.none() | st.sets(st.integers(0, n_items - 1), min_size=1))
    popularity = data.draw(st.none() | st.just(rng.integers(1, 50, n_items)))
    sampler = Negatives(n_items, sp.csr_array(seen), None if allowed is None else sorted(allowed), popularity, 0.75)
    may = np.zeros(n_items, bool)
    may[list(range(n_items)) if allowed is None else sorted(allowed)] = True
    np.testing.assert_array_equal(sampler.exhausted, ~(may & ~seen).any(1))
    users = rng.integers(0, n_users, 20)
    drawn = sampler.draw(users, 3, rng)
    assert drawn.shape == (20, 3) and drawn.dtype == np.int64
    assert may[drawn].all()
    assert not (seen[users[:, None], drawn] & ~sampler.exhausted[users][:, None]).any()


def user(positives, n_items=12):
    return sp.csr_array((np.ones(len(positives)), ([1] * len(positives), positives)), shape=(3, n_items))


@pytest.mark.parametrize("positives", [[], [0], [11], [0, 1, 2, 5, 11], list(range(1, 11))])
def test_uniform_over_what_remains(positives):
    drawn = Negatives(12, user(positives)).draw([1] * 40, 500, np.random.default_rng(0)).ravel()
    rest = np.setdiff1d(np.arange(12), positives)
    counts = np.bincount(drawn, minlength=12)
    assert counts.sum() == counts[rest].sum()
    assert chisquare(counts[rest]).pvalue > 1e-3


def test_uniform_over_allowed_items_that_remain():
    allowed, positives = [1, 3, 4, 8, 11], [0, 3, 8]
    drawn = Negatives(12, user(positives), allowed).draw([1] * 40, 500, np.random.default_rng(0)).ravel()
    mask = np.isin(np.arange(12), allowed)
    assert np.array_equal(
        drawn, Negatives(12, user(positives), mask).draw([1] * 40, 500, np.random.default_rng(0)).ravel()
    )
    counts = np.bincount(drawn, minlength=12)
    assert counts[[1, 4, 11]].sum() == counts.sum() and chisquare(counts[[1, 4, 11]]).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.0, 0.75, 1.0])
def test_popularity_to_the_power_of_alpha_over_what_remains(alpha):
    popularity = np.array([1, 5, 0, 20, 3, 7, 1, 1, 90, 2, 4, 8.0])
    drawn = Negatives(12, user([0, 3, 8]), popularity=popularity, alpha=alpha)
    counts = np.bincount(drawn.draw([1] * 40, 500, np.random.default_rng(1)).ravel(), minlength=12)
    rest = np.array([1, 4, 5, 6, 7, 9, 10, 11])
    expected = popularity[rest] ** alpha
    assert counts.sum() == counts[rest].sum()
    assert chisquare(counts[rest], expected / expected.sum() * counts.sum()).pvalue > 1e-3


def test_one_remaining_item_is_found_among_many():
    seen = sp.csr_array(np.arange(5000)[None] != 3210)
    assert (Negatives(5000, seen).draw([0, 0], 4, np.random.default_rng(0)) == 3210).all()


def test_seed_decides():
    sampler = Negatives(12, user([3]))
    first, again, other = (sampler.draw([0, 1, 2] * 5, 4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_user_who_has_everything_draws_from_all_allowed_items():
    sampler = Negatives(12, user(list(range(12))), allowed_items=[2, 5])
    assert sampler.exhausted.tolist() == [False, True, False]
    assert set(sampler.draw([1] * 50, 2, np.random.default_rng(0)).ravel()) == {2, 5}


def test_repeated_and_unsorted_interactions_count_once():
    sampler = Negatives(4, (np.array([0, 5]), np.array([3, 0, 3, 3, 0])))
    assert set(sampler.draw([0] * 50, 2, np.random.default_rng(0)).ravel()) == {1, 2}


def test_bad_input_is_refused():
    with pytest.raises(DataError, match=r"outside 0\.\.11"):
        Negatives(12, (np.array([0, 1]), np.array([12])))
    with pytest.raises(DataError, match="no item may be drawn"):
        Negatives(12, user([]), allowed_items=[])
    with pytest.raises(DataError, match="mask of 3 items"):
        Negatives(12, user([]), allowed_items=np.ones(3, bool))
    with pytest.raises(DataError, match="user"):
        Negatives(12, user([])).draw([3], 1, np.random.default_rng(0))
    with pytest.raises(DataError, match="popularity"):
        Negatives(12, user([]), popularity=[1.0])
    with pytest.raises(DataError, match="allowed"):
        Negatives(12, user([]), allowed_items=[-1])


def test_no_python_loop_over_rows():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 20_000, 160_000), rng.integers(0, 7_000, 160_000)
    seen = sp.csr_array((np.ones(160_000), (users, items)), shape=(20_000, 7_000))
    sampler = Negatives(7_000, seen)
    start = time.perf_counter()
    sampler.draw(users, 1, rng)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("positives", [[0], [0, 1, 2, 5, 11], list(range(1, 11))])
@pytest.mark.parametrize("allowed", [None, [0, 1, 3, 4, 8, 11]])
def test_paired_negatives_are_uniform_over_what_remains(positives, allowed):
    matrix = sp.csr_array(np.isin(np.arange(12), positives)[None].repeat(300, axis=0))
    sampler, rng = PairedNegatives(12, matrix, allowed), np.random.default_rng(0)
    drawn = np.concatenate([sampler.draw(rng) for _ in range(8)])
    rest = np.setdiff1d(np.arange(12) if allowed is None else allowed, positives)
    counts = np.bincount(drawn, minlength=12)
    assert len(drawn) == 8 * 300 * len(positives) and counts.sum() == counts[rest].sum()
    assert len(rest) == 1 or chisquare(counts[rest]).pvalue > 1e-3


def test_paired_negatives_follow_the_order_of_the_lists_and_the_generator():
    rng = np.random.default_rng(0)
    seen = rng.random((50, 40)) < np.linspace(0, 1, 50)[:, None]
    seen[-1] = True
    sampler, owners = PairedNegatives(40, sp.csr_array(seen)), np.repeat(np.arange(50), seen.sum(1))
    drawn = sampler.draw(np.random.default_rng(1))
    free = ~seen.all(1)[owners]
    assert not seen[owners, drawn][free].any() and (drawn < 40).all()
    assert np.array_equal(drawn, sampler.draw(np.random.default_rng(1)))
    assert not len(PairedNegatives(3, sp.csr_array((2, 3))).draw(rng))
