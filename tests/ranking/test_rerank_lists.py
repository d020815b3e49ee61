"""MMR, DPP and SSD against their definitions, brute force, and a public implementation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from palate.ranking.dpp import dpp_lists
from palate.ranking.greedy import fill_absent, standardised, unit_range, unit_vectors
from palate.ranking.mmr import mmr, mmr_lists
from palate.ranking.ssd import Residuals, ssd_lists

K = 8
PYVERSITY = {
    "mmr 0.2": [24, 7, 31, 14, 38, 21, 4, 28],
    "mmr 0.5": [24, 38, 31, 7, 14, 18, 21, 4],
    "mmr 0.8": [24, 18, 38, 8, 11, 31, 7, 1],
    "dpp 0.2": [24, 7, 31, 14, 28, 38, 21, 4],
    "dpp 0.5": [24, 31, 7, 14, 28, 38, 4, 35],
    "dpp 0.8": [24, 31, 14, 7, 28, 25, 18, 22],
    "ssd 0.2": [24, 7, 31, 14, 38, 21, 4, 28],
    "ssd 0.5": [24, 38, 31, 14, 7, 28, 4, 35],
    "ssd 0.8": [24, 38, 14, 31, 28, 7, 4, 22],
    "ssd window 0.2": [24, 7, 31, 14, 38, 21, 4, 28],
    "ssd window 0.5": [24, 38, 31, 14, 7, 4, 28, 18],
    "ssd window 0.8": [24, 38, 14, 31, 7, 4, 28, 32],
    "ssd recent 0.2": [24, 7, 31, 14, 21, 28, 4, 11],
    "ssd recent 0.5": [24, 7, 31, 21, 14, 28, 4, 11],
    "ssd recent 0.8": [24, 28, 7, 14, 31, 25, 21, 18],
}
"""Lists of pyversity 0.2.0 on :func:`catalogue`."""


def catalogue():
    """Forty vectors and scores, the same on every machine."""
    at = np.arange(640)
    vectors = np.sin(at * at % 97 + 0.7 * at).reshape(40, 16).astype(np.float32)
    return vectors, ((np.arange(40) * 29) % 41 / 41).astype(np.float32)


def ours(name, vectors, scores):
    """The list of one entry of :data:`PYVERSITY`.

    pyversity's MMR cuts cosines at 0 and takes scores as they are; its DPP has q = exp((1 - diversity) z).
    """
    method, diversity = name.rpartition(" ")[::2]
    strength = float(diversity)
    if method == "mmr":
        return mmr_lists(scores[None], np.abs(vectors)[None], K, strength)[0]
    if method == "dpp":
        z = standardised(scores[None], np.ones((1, len(scores)), bool))
        return dpp_lists(z, vectors[None], K, 1 / (1 + 2 * (1 - strength)), append_bias=False)[0]
    if method == "ssd recent":
        shown = {"recent": vectors[None, 32:38], "window": 4, "append_bias": False}
        return ssd_lists(scores[None, :32], vectors[None, :32], K, strength, gamma=1.5, **shown)[0]
    return ssd_lists(scores[None], vectors[None], K, strength, gamma=1.5, window=3 if "window" in method else None)[0]


@pytest.mark.parametrize("name", PYVERSITY)
def test_lists_are_those_of_pyversity(name):
    assert ours(name, *catalogue()).tolist() == PYVERSITY[name]


def test_lists_are_those_of_the_installed_pyversity():
    public = pytest.importorskip("pyversity")
    rng = np.random.default_rng(3)
    for _ in range(20):
        vectors, scores = rng.normal(size=(40, 24)).astype(np.float32), rng.random(40).astype(np.float32)
        scores = (scores - scores.min()) / (scores.max() - scores.min())
        for name in PYVERSITY:
            method, diversity = name.rpartition(" ")[::2]
            kind = public.Strategy[method.split()[0].upper()]
            more = {"gamma": 1.5} if "ssd" in method else {}
            more |= {"window": 3} if "window" in method else {}
            size = 32 if "recent" in method else 40
            if "recent" in method:
                more |= {"recent_embeddings": vectors[32:38], "window": 4, "append_bias": False}
            given = np.abs(vectors) if method == "mmr" else vectors[:size]
            found = public.diversify(
                embeddings=given, scores=scores[:size], k=K, strategy=kind, diversity=float(diversity), **more
            )
            assert ours(name, vectors, scores).tolist() == found.indices.tolist(), name


def random_lists(lists=6, n=12, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    known = rng.random((lists, n)) < 0.8
    known[0] = False
    vectors = rng.normal(size=(lists, n, dim)).astype(np.float32)
    vectors[1, 3] = vectors[2, :4] = 0
    return rng.random((lists, n), np.float32), vectors, known


METHODS = {
    "mmr": mmr_lists,
    "dpp": dpp_lists,
    "ssd": ssd_lists,
    "ssd window": lambda *given: ssd_lists(*given, window=2, append_bias=False),
}


@pytest.mark.parametrize("name", METHODS)
def test_lists_together_are_lists_alone(name):
    relevance, vectors, known = random_lists()
    for diversity in (0.0, 0.4, 1.0):
        lists = METHODS[name](relevance, vectors, 6, diversity, known)
        assert (lists[0] == -1).all() and lists.shape == (6, 6)
        for row in range(1, 6):
            at = np.flatnonzero(known[row])
            one = METHODS[name](relevance[row, at][None], vectors[row, at][None], 6, diversity, None)[0]
            assert lists[row][: len(one)].tolist() == at[one].tolist() and (lists[row][len(one) :] == -1).all()
            if not diversity:
                assert at[one].tolist() == at[np.argsort(-relevance[row, at], kind="stable")][:6].tolist()
    assert METHODS[name](relevance[:, :0], vectors[:, :0], 6, 0.5, known[:, :0]).shape == (6, 0)
    assert METHODS[name](relevance[:0], vectors[:0], 6, 0.5, known[:0]).shape == (0, 6)


@pytest.mark.parametrize("name", METHODS)
def test_items_without_vectors_are_neither_preferred_nor_passed_over(name):
    relevance, vectors, _ = random_lists()
    nothing = METHODS[name](relevance, np.zeros_like(vectors), 6, 0.9, None)
    assert np.array_equal(nothing, np.argsort(-relevance, axis=1, kind="stable")[:, :6]), "by relevance"
    rng = np.random.default_rng(4)
    many = rng.normal(size=(200, 20, 3)).astype(np.float32)
    many[:, ::2] = 0
    flat = np.zeros((200, 20), np.float32) + rng.random((200, 20)).astype(np.float32) * 1e-3
    chosen = METHODS[name](flat, many, 5, 0.5, None)
    assert 0.1 < (chosen % 2 == 0).mean() < 0.6


def test_mmr_of_one_list_is_that_of_many():
    relevance, vectors, known = random_lists()
    for diversity in (0.0, 0.4, 1.0):
        lists = mmr_lists(relevance, vectors, 6, diversity, known)
        for row in range(1, 6):
            at = np.flatnonzero(known[row])
            one = at[mmr(relevance[row, at], vectors[row, at], 6, diversity)]
            assert lists[row][: len(one)].tolist() == one.tolist()


def test_mmr_by_hand():
    # relevance 1, .9, .5, 0; the second is the first again: .5 * .9 - .5 * 1 < .5 * .5 - .5 * 0
    vectors = np.array([[1, 0], [2, 0], [0, 1], [0, -1]], np.float32)
    assert mmr_lists(np.array([[1, 0.9, 0.5, 0]]), vectors[None], 3, 0.5)[0].tolist() == [0, 2, 3]


def similarity(vectors, append_bias):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (1 + unit @ unit.T) / 2 if append_bias else unit @ unit.T


@pytest.mark.parametrize("append_bias", [True, False])
def test_dpp_takes_the_best_determinant_at_every_step(append_bias):
    rng = np.random.default_rng(1)
    for diversity in (0.1, 0.5, 0.9):
        vectors, relevance = rng.normal(size=(9, 6)).astype(np.float32), rng.normal(size=9)
        similar = similarity(vectors.astype(np.float64), append_bias)

        def value(chosen, theta=1 - diversity, relevance=relevance, similar=similar):
            chosen = list(chosen)
            sign, volume = np.linalg.slogdet(similar[np.ix_(chosen, chosen)])
            assert sign > 0
            return theta * relevance[chosen].sum() + (1 - theta) * volume

        found = dpp_lists(relevance[None], vectors[None], 4, diversity, append_bias=append_bias)[0].tolist()
        for place in range(4):
            rest = [item for item in range(9) if item not in found[:place]]
            assert found[place] == max(rest, key=lambda item: value([*found[:place], item]))


def test_dpp_finds_the_best_of_all_sets_where_one_stands_out():
    base = np.eye(4, dtype=np.float32)
    vectors = np.concatenate([base[:3], 0.98 * base[:3] + 0.02 * base[3]])
    relevance = np.array([1, 0.9, 0.8, 0.99, 0.98, 0.1])
    similar = similarity(vectors.astype(np.float64), False)

    def value(chosen):
        return 0.5 * relevance[list(chosen)].sum() + 0.5 * np.linalg.slogdet(similar[np.ix_(chosen, chosen)])[1]

    best = max(permutations(range(6), 3), key=value)
    found = dpp_lists(relevance[None], vectors[None], 3, 0.5, append_bias=False)[0]
    assert set(found.tolist()) == set(best)


def test_dpp_goes_on_by_relevance_where_no_volume_is_left():
    vectors = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [2, 1]], np.float32)
    order = dpp_lists(np.array([[0.5, 0.4, 0.1, 0.2, 0.3]]), vectors[None], 5, 0.9, append_bias=False)[0]
    assert sorted(order.tolist()) == list(range(5)) and order[2:].tolist() == sorted(
        order[2:].tolist(), key=lambda item: -[0.5, 0.4, 0.1, 0.2, 0.3][item]
    )
    # opposite vectors are the same line, but under (1 + cos) / 2 nothing alike
    pair = np.array([[[1, 0], [0.6, 0.8], [-1, 0]]], np.float32)
    assert dpp_lists(np.array([[1, 0.5, 0.5]]), pair, 2, 0.9, append_bias=True)[0].tolist() == [0, 2]
    assert dpp_lists(np.array([[1, 0.5, 0.5]]), pair, 2, 0.9, append_bias=False)[0].tolist() == [0, 1]


def exact_residuals(vectors, chosen):
    """Norms of what is left of ``vectors`` outside the span of ``chosen``, squared."""
    basis, _ = np.linalg.qr(vectors[chosen].T)
    return np.square(vectors - vectors @ basis @ basis.T).sum(1)


def test_ssd_is_gram_schmidt_while_the_window_covers_the_list():
    rng = np.random.default_rng(2)
    vectors = unit_vectors(rng.normal(size=(3, 20, 12)).astype(np.float32), True)[0]
    residuals, chosen = Residuals(vectors, 8), rng.permuted(np.tile(np.arange(20), (3, 1)), axis=1)[:, :8]
    for place in range(8):
        residuals.push(residuals.of(chosen[:, place]))
        for row in range(3):
            exact = exact_residuals(vectors[row].astype(np.float64), chosen[row, : place + 1])
            np.testing.assert_allclose(residuals.squares[row], exact, atol=2e-6)


def test_ssd_after_a_slide_by_hand():
    """Window of one. After i and j: Q_k = v_k - (<v_k, Q_j> / <Q_j, Q_j>) Q_j with Q_j = v_j - <v_j, v_i> v_i."""
    vectors = np.array([[[1, 0], [0.5**0.5, 0.5**0.5], [0, 1], [0.6, 0.8]]], np.float32)
    residuals = Residuals(vectors, 1)
    residuals.push(residuals.of(np.array([0])))
    np.testing.assert_allclose(residuals.squares[0], [0, 0.5, 1, 0.64], atol=1e-6)
    # Q_1 = (0, .707): the first item left the window, but acts through the direction of Q_1
    residuals.push(residuals.of(np.array([1])))
    np.testing.assert_allclose(residuals.squares[0, 2:], [0, 0.36], atol=1e-6)
    exact = exact_residuals(vectors[0], [1])
    np.testing.assert_allclose(exact[2:], [0.5, 0.02], atol=1e-6)


def literal_ssd(relevance, vectors, k, diversity, gamma, window):
    """The algorithm as it is written, with all residuals."""
    left, chosen, basis = vectors.astype(np.float64).copy(), [], []
    for place in range(k):
        gains = (1 - diversity) * relevance + diversity * gamma * np.linalg.norm(left, axis=1) if place else relevance
        rest = [item for item in range(len(vectors)) if item not in chosen]
        new = max(rest, key=lambda item: gains[item])
        residual = left[new].copy()
        if len(basis) == window:
            oldest, shares = basis.pop(0)
            left += np.outer(shares, oldest)
        shares = left @ residual / (residual @ residual)
        left -= np.outer(shares, residual)
        basis.append((residual, shares))
        chosen.append(new)
    return chosen


def test_ssd_is_the_algorithm_with_all_residuals():
    rng = np.random.default_rng(5)
    for window in (1, 2, 4, 9):
        vectors, relevance = rng.normal(size=(30, 12)).astype(np.float32), rng.normal(size=30)
        unit = unit_vectors(vectors[None], True)[0][0]
        found = ssd_lists(relevance[None], vectors[None], 10, 0.7, gamma=2.0, window=window, normalize_scores=False)[0]
        assert found.tolist() == literal_ssd(relevance, unit, 10, 0.7, 2.0, window)


def test_ssd_differs_from_what_was_shown():
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    scores = np.array([[0.6, 0.5, 0.4]])
    recent = np.stack([[[0, 0, 0], [2, 0, 0]], [[0, 0, 0], [0, 0, 0]]]).astype(np.float32)
    lists = ssd_lists(np.tile(scores, (2, 1)), np.tile(vectors, (2, 1, 1)), 3, 0.9, recent=recent, append_bias=False)
    assert lists[0].tolist() == [1, 2, 0], "the first item is alike what was shown"
    assert lists[1].tolist() == [0, 1, 2], "nothing was shown"


def test_scales_and_means_leave_out_what_is_not_there():
    values, known = np.array([[1.0, 5, 3, 99], [2, 2, 2, 2]]), np.array([[True, True, True, False], [True] * 4])
    np.testing.assert_allclose(unit_range(values, known), [[0, 1, 0.5, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(standardised(values, known), [[-1.2247449, 1.2247449, 0, 0], [0] * 4], atol=1e-6)
    there, left = np.array([[True, True, False, True]]), np.array([[True, False, True, True]])
    assert fill_absent(np.array([[1.0, 7, 0, 3]]), there, left).tolist() == [[1, 7, 2, 3]]
