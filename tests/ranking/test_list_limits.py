"""Calibration, limits and stakeholders: equations by hand, and limits that hold whatever the candidates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.ranking.calibration import calibrated_lists, divergence
from palate.ranking.greedy import greedy_lists
from palate.ranking.limits import UNLIMITED, AdLoad, ByRelevance, GroupLimits, LimitedGroups
from palate.ranking.stakeholders import Stakes, Weights, stakeholder_lists, utilities


def test_divergence_by_hand():
    wanted = np.array([0.75, 0.25])
    assert divergence(wanted, np.array([3.0, 1.0])) == pytest.approx(0)
    # q = (1, 0): mixed (0.99 + 0.0075, 0.0025)
    expected = 0.75 * np.log(0.75 / 0.9975) + 0.25 * np.log(0.25 / 0.0025)
    assert divergence(wanted, np.array([2.0, 0.0])) == pytest.approx(expected)
    # an empty list holds nothing: mixed = 0.01 p
    assert divergence(wanted, np.zeros(2)) == pytest.approx(np.log(100))
    assert divergence(np.zeros(2), np.array([1.0, 0.0])) == 0


def test_calibration_is_the_greedy_choice():
    rng = np.random.default_rng(0)
    relevance = rng.random((4, 15), np.float32)
    genres = (rng.random((4, 15, 4)) < 0.4).astype(np.float32)
    shares = np.divide(genres, genres.sum(2, keepdims=True), out=np.zeros_like(genres), where=genres.any(2)[..., None])
    wanted = rng.dirichlet(np.ones(4), 4).astype(np.float32)
    wanted[3] = 0
    lists = calibrated_lists(relevance, shares, wanted, 6, 0.6)
    scaled = (relevance - relevance.min(1, keepdims=True)) / np.ptp(relevance, axis=1)[:, None]
    for row in range(4):
        for place in range(6):
            before = lists[row, :place].tolist()

            def value(item, row=row, before=before):
                held = shares[row, [*before, item]].sum(0)
                return 0.4 * scaled[row, item] - 0.6 * divergence(wanted[row], held)

            rest = [item for item in range(15) if item not in before]
            assert value(lists[row, place]) == pytest.approx(max(map(value, rest)), abs=1e-6)
    assert lists[3].tolist() == np.argsort(-relevance[3], kind="stable")[:6].tolist(), "nothing is known of the user"


def test_calibrated_lists_follow_the_history():
    # eight dramas that score best, then eight comedies; the history is half and half
    shares = np.repeat(np.eye(2, dtype=np.float32), 8, 0)[None]
    relevance = np.linspace(1, 0, 16)[None]
    assert calibrated_lists(relevance, shares, np.array([[0.5, 0.5]]), 6, 0.0)[0].max() < 8
    assert (calibrated_lists(relevance, shares, np.array([[0.5, 0.5]]), 6, 0.9)[0] < 8).sum() == 3


@st.composite
def cases(draw, several):
    """Candidates with groups, and limits of them."""
    n, groups, first = draw(st.integers(1, 14)), draw(st.integers(1, 4)), draw(st.integers(1, 8))
    width = draw(st.integers(1, 3)) if several else 1
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, groups + 1, (3, n, width))
    known = rng.random((3, n)) < 0.9
    at_most = np.where(rng.random(groups) < 0.5, rng.integers(0, 4, groups), UNLIMITED)
    at_least = np.where(rng.random(groups) < 0.5, rng.integers(0, 4, groups), 0)
    return rng.random((3, n)), known, GroupLimits(codes, at_most, at_least), first, draw(st.integers(1, 12))


def counted(limits, lists, row, first):
    listed = [item for item in lists[row, :first] if item >= 0]
    return np.array([sum(group in limits.codes[row, item] for item in listed) for group in range(len(limits.at_most))])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases(several=True))
def test_no_cap_is_ever_broken(case):
    relevance, known, limits, first, k = case
    lists = greedy_lists(ByRelevance(relevance), known, k, [LimitedGroups(limits, first)])
    for row in range(3):
        assert (counted(limits, lists, row, first) <= limits.at_most).all()
        listed = lists[row][lists[row] >= 0].tolist()
        assert len(set(listed)) == len(listed) and known[row, listed].all()
        ended = lists[row] < 0
        assert (ended[1:] >= ended[:-1]).all(), "nothing after the end of a list"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases(several=False))
def test_quotas_are_kept_where_the_candidates_can(case):
    relevance, known, limits, first, k = case
    first = min(first, k)
    able = np.array([[(known[row] & (limits.codes[row, :, 0] == g)).sum() for g in range(4)] for row in range(3)])
    able = np.minimum(able[:, : len(limits.at_most)], limits.at_most)
    wanted = np.minimum(limits.at_least, able)
    lists = greedy_lists(ByRelevance(relevance), known, k, [LimitedGroups(limits, first)])
    for row in range(3):
        if wanted[row].sum() <= first:
            assert (counted(limits, lists, row, first) >= wanted[row]).all()


def test_quotas_cost_as_little_relevance_as_they_can():
    relevance = np.array([[9.0, 8, 7, 6, 5, 4]])
    codes = np.array([[[0], [0], [0], [1], [1], [2]]])
    limits = GroupLimits(codes, np.array([2, UNLIMITED, UNLIMITED]), np.array([0, 0, 1]))
    lists = greedy_lists(ByRelevance(relevance), np.ones((1, 6), bool), 6, [LimitedGroups(limits, 4)])
    assert lists[0].tolist() == [0, 1, 3, 5, 2, 4], "two of the first group, one of the last; then by relevance"


def test_limits_of_columns_are_joined():
    one = GroupLimits(np.array([[[0], [1]]]), np.array([1, 1]), np.array([0, 1]))
    two = GroupLimits(np.array([[[0, 2], [2, 2]]]), np.array([5, UNLIMITED]), np.array([0, 0]))
    joined = GroupLimits.joined([one, two])
    assert joined.codes.tolist() == [[[0, 2, 4], [1, 4, 4]]]
    assert joined.at_most.tolist() == [1, 1, 5, UNLIMITED] and joined.at_least.tolist() == [0, 1, 0, 0]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(0, 3), st.integers(1, 8), st.integers(0, 3), st.integers(0, 3))
def test_the_load_of_advertisements_is_kept(seed, most, first, start, gap):
    rng = np.random.default_rng(seed)
    is_ad, known = rng.random((3, 12)) < 0.5, rng.random((3, 12)) < 0.9
    lists = greedy_lists(ByRelevance(rng.random((3, 12))), known, 10, [AdLoad(is_ad, most, first, start, gap)])
    for row in range(3):
        at = [place for place, item in enumerate(lists[row]) if item >= 0 and is_ad[row, item]]
        assert sum(place < first for place in at) <= most and all(place >= start for place in at)
        assert all(later - earlier > gap for earlier, later in pairwise(at))


def stakes():
    relevance, bids = np.array([[1, 0.8, 0.6, 0.4]]), np.array([[0, 0, 1, 0.5]])
    providers = np.array([[[0, 2], [0, 2], [1, 2], [0, 1]]])
    return Stakes(relevance, bids, providers, np.array([3.0, 0.0]))


def test_utilities_by_hand():
    half = 1 / np.log2(3)
    found = utilities(stakes(), np.array([[2, 3, -1]]))[0]
    # the first exposes provider 1 by 1; the second each of both by half of its discount
    exposed = np.log(2) + np.log(2 + half / 2) - np.log(2) + np.log(4 + half / 2) - np.log(4)
    np.testing.assert_allclose(found, [0.6 + 0.4 * half, exposed, 0.6 + 0.4 * half * 0.5])


def test_weights_move_utilities():
    known = np.ones((1, 4), bool)
    plain = stakeholder_lists(stakes(), Weights(), 4, known)
    assert plain[0].tolist() == [0, 1, 2, 3]
    fair = stakeholder_lists(stakes(), Weights(1, 2, 0), 2, known)
    paid = stakeholder_lists(stakes(), Weights(1, 0, 2), 2, known)
    assert fair[0, 0] == 2 and paid[0, 0] == 2
    alone, shared, sold = (utilities(stakes(), order[:, :2])[0] for order in (plain, fair, paid))
    assert shared[1] > alone[1] and sold[2] > alone[2] and alone[0] > max(shared[0], sold[0])


def test_each_place_adds_most_to_the_sum():
    rng = np.random.default_rng(1)
    made = Stakes(rng.random((5, 9)), rng.random((5, 9)), rng.integers(0, 4, (5, 9, 2)), rng.random(3))
    weights = Weights(1, 0.7, 0.4)
    lists = stakeholder_lists(made, weights, 4, np.ones((5, 9), bool))
    for place in range(4):
        best = np.full(5, -np.inf)
        for item in range(9):
            tried = np.where((lists[:, :place] == item).any(1), -1, item)
            total = utilities(made, np.column_stack([lists[:, :place], tried])) @ weights
            best = np.where(tried < 0, best, np.maximum(best, total))
        np.testing.assert_allclose(utilities(made, lists[:, : place + 1]) @ weights, best)
