from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError, DataError
from palate.metrics import METRICS, evaluate_lists, hits_of


def oracle(name, ranked, relevant, k, grade=None):
    """One user's metric, straight from its definition; ``relevant`` is a set, ``grade`` a dict."""
    top = ranked[:k]
    marks = [item in relevant for item in top]
    found = [rank for rank, hit in enumerate(marks, 1) if hit]
    if name == "recall":
        return len(found) / len(relevant)
    if name == "capped_recall":
        return len(found) / min(k, len(relevant))
    if name == "precision":
        return len(found) / k
    if name == "hit_rate":
        return 1.0 if found else 0.0
    if name == "mrr":
        return 1.0 / found[0] if found else 0.0
    if name == "mrr_mind":
        return sum(1.0 / rank for rank in found) / len(relevant)
    if name == "map":
        return sum(sum(marks[:rank]) / rank for rank in found) / min(k, len(relevant))
    if name == "ndcg":
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
        return sum(1 / math.log2(rank + 1) for rank in found) / ideal
    assert name == "graded_ndcg"
    gain = sum((2 ** grade[top[rank - 1]] - 1) / math.log2(rank + 1) for rank in found)
    highest = sorted((grade[item] for item in relevant), reverse=True)[:k]
    ideal = sum((2**g - 1) / math.log2(rank + 1) for rank, g in enumerate(highest, 1))
    return gain / ideal if ideal else 0.0


@st.composite
def cases(draw):
    n_items = draw(st.integers(1, 15))
    width = draw(st.integers(1, 20))  # may exceed the number of items
    n = draw(st.integers(1, 5))
    item = st.integers(0, n_items - 1)
    ranked = draw(st.lists(st.lists(item, unique=True, max_size=width), min_size=n, max_size=n))
    relevant = draw(st.lists(st.lists(item, max_size=2 * n_items), min_size=n, max_size=n))
    relevant[0].append(0)
    grades = [[draw(st.sampled_from([0, 1, 2, 5])) for _ in row] for row in relevant]
    return ranked, relevant, grades, width, draw(st.lists(st.integers(1, width), min_size=1, max_size=3, unique=True))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(cases())
def test_every_metric_equals_its_definition(case):
    ranked, relevant, grades, width, ks = case
    ids = np.array([row + [-1] * (width - len(row)) for row in ranked])
    names = [*METRICS, "graded_ndcg"]
    flat = np.array([g for row in grades for g in row], float)
    result = evaluate_lists(ids, RaggedArray.of(relevant), ks, names, flat)
    kept = [u for u, row in enumerate(relevant) if row]
    assert result.users.tolist() == kept and result.skipped == len(relevant) - len(kept)
    assert set(result) == {f"{name}@{k}" for name in names for k in ks}
    for name in names:
        for k in ks:
            grade = [{i: max(g for j, g in zip(row, gs) if j == i) for i in row} for row, gs in zip(relevant, grades)]
            expected = [oracle(name, ranked[u], set(relevant[u]), k, grade[u]) for u in kept]
            np.testing.assert_allclose(result[f"{name}@{k}"], expected, rtol=0, atol=1e-12)
            assert result[f"{name}@{k}"].dtype == np.float64
            assert abs(result.means()[f"{name}@{k}"] - sum(expected) / len(expected)) <= 1e-12


def test_values_computed_by_hand():
    hits = np.array([[False, True, True]])
    values = {name: metric.function(hits, np.array([4]))[0] for name, metric in METRICS.items()}
    ideal = 1 + 1 / math.log2(3) + 0.5
    expected = {
        "recall": 2 / 4,
        "capped_recall": 2 / 3,
        "ndcg": (1 / math.log2(3) + 0.5) / ideal,
        "hit_rate": 1,
        "mrr": 1 / 2,
        "mrr_mind": (1 / 2 + 1 / 3) / 4,
        "map": (1 / 2 + 2 / 3) / 3,
        "precision": 2 / 3,
    }
    assert values == pytest.approx(expected, abs=1e-15)
    assert all(metric.summary.endswith(".") and metric.name == name for name, metric in METRICS.items())


def test_a_perfect_list_scores_one_and_a_user_without_relevant_items_zero():
    hits, nothing = np.ones((1, 3), bool), np.zeros((1, 3), bool)
    for name, metric in METRICS.items():
        top = metric.function(hits, np.array([3]))[0]
        assert top == pytest.approx((1 + 1 / 2 + 1 / 3) / 3 if name == "mrr_mind" else 1.0)
        assert metric.function(nothing, np.array([0]))[0] == 0.0


def test_hits_ignore_padding_and_items_beyond_the_relevant_ones():
    relevant = RaggedArray.of([[0, 5], [], [3]])
    ids = np.array([[5, 9, -1], [0, 5, 3], [2, 3, 0]])
    assert hits_of(ids, relevant).tolist() == [[True, False, False], [False] * 3, [False, True, False]]
    assert not hits_of(ids, RaggedArray.of([[], [], []])).any()


def test_bad_input_is_refused_by_name():
    relevant = RaggedArray.of([[0], [1]])
    ids = np.array([[0, 1], [1, 0]])
    with pytest.raises(ConfigError, match="did you mean recall"):
        evaluate_lists(ids, relevant, [1], ["recal"])
    with pytest.raises(ConfigError, match="cut-off 3"):
        evaluate_lists(ids, relevant, [3])
    with pytest.raises(ConfigError, match="needs grades"):
        evaluate_lists(ids, relevant, [1], ["graded_ndcg"])
    with pytest.raises(DataError, match=r"row 2.*twice"):
        evaluate_lists(np.array([[0, 1], [1, 1]]), relevant, [1])
    with pytest.raises(DataError, match=r"row 1.*gap"):
        evaluate_lists(np.array([[-1, 1], [1, 0]]), relevant, [1])
    with pytest.raises(DataError, match="no user"):
        evaluate_lists(ids, RaggedArray.of([[], []]), [1])
    with pytest.raises(DataError, match="shape"):
        evaluate_lists(ids, RaggedArray.of([[0]]), [1])
    with pytest.raises(DataError, match="negative"):
        evaluate_lists(ids, relevant, [1], ["graded_ndcg"], np.array([1.0, -1.0]))
    with pytest.raises(DataError, match="grades for 2"):
        evaluate_lists(ids, relevant, [1], ["graded_ndcg"], np.ones(3)[:3])
