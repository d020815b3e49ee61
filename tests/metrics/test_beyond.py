from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError, DataError
from palate.metrics import beyond
from palate.metrics.diversity import intra_list_distance


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


def spread(rates):
    middle = mean(rates)
    return math.sqrt(mean((r - middle) ** 2 for r in rates)) / middle


@st.composite
def cases(draw):
    n_items = draw(st.integers(1, 12))
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    item = st.integers(0, n_items - 1)
    rows = draw(st.lists(st.lists(item, unique=True, max_size=k), min_size=n, max_size=n))
    rows[0] = rows[0] or [0]
    relevant = draw(st.lists(st.lists(item, unique=True, max_size=n_items), min_size=n, max_size=n))
    relevant[0] = sorted({*relevant[0], rows[0][0]})
    popularity = draw(st.lists(st.integers(0, 9), min_size=n_items, max_size=n_items))
    groups = draw(st.lists(st.integers(0, 2), min_size=n_items, max_size=n_items))
    return rows, relevant, popularity, groups, k


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(cases())
def test_catalogue_and_popularity_metrics_equal_their_definitions(case):
    rows, relevant, popularity, groups, k = case
    ids = np.array([row + [-1] * (k - len(row)) for row in rows])
    pop, group, n = np.array(popularity), np.array(groups), len(popularity)

    def same(found, expected):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

    shown = [sum(item in row for row in rows) for item in range(n)]
    shares = sorted(c / sum(shown) for c in shown)
    same(beyond.item_counts(ids, n), shown)
    same(beyond.coverage(ids, n), sum(c > 0 for c in shown) / n)
    same(beyond.gini(ids, n), sum((2 * j - n - 1) * p for j, p in enumerate(shares, 1)) / (n - 1) if n > 1 else 0.0)
    same(beyond.shannon_entropy(ids, n), -sum(p * math.log(p) for p in shares if p))
    same(beyond.novelty(ids, pop, 10), [mean(-math.log2(max(popularity[i], 1) / 10) for i in row) for row in rows])
    same(beyond.average_popularity(ids, pop), [mean(popularity[i] for i in row) for row in rows])

    ranked = sorted(range(n), key=lambda i: (-popularity[i], i))
    head, held = set(), 0
    for item in ranked:
        if held < 0.8 * sum(popularity):
            head.add(item)
        held += popularity[item]
    tail = beyond.long_tail(pop)
    assert set(np.flatnonzero(~tail).tolist()) == head
    same(beyond.aplt(ids, tail), [mean(i not in head for i in row) for row in rows])
    same(beyond.popularity_overlap(ids, pop), [mean(i in ranked[:k] for i in row) for row in rows])

    levels = sorted({p for p in popularity}, reverse=True)
    q = [(n - levels.index(p)) / n if p else 0.0 for p in popularity]
    expected = [
        sum(max((n + 1 - r) / n - q[i], 0) for r, i in enumerate(row, 1) if i in set(rel)) / k
        for row, rel in zip(rows, relevant)
    ]
    same(beyond.serendipity(ids, RaggedArray.of(relevant), pop), expected)

    wanted = [sum(groups[i] == g for rel in relevant for i in rel) for g in range(3)]
    hit = [sum(groups[i] == g for row, rel in zip(rows, relevant) for i in row if i in rel) for g in range(3)]
    same(beyond.popreo(ids, RaggedArray.of(relevant), group), spread([h / w for h, w in zip(hit, wanted) if w]))
    seen = [[i for i in range(n) if i not in row][:2] for row in rows]
    open_pairs = [len(rows) * groups.count(g) - sum(groups[i] == g for row in seen for i in row) for g in range(3)]
    listed = [sum(groups[i] == g for row in rows for i in row) for g in range(3)]
    same(beyond.poprsp(ids, group, RaggedArray.of(seen)), spread([a / b for a, b in zip(listed, open_pairs) if b]))


def distance(x, y, kind):
    if kind == "euclidean":
        return math.dist(x, y)
    return 1 - sum(a * b for a, b in zip(x, y)) / math.hypot(*x) / math.hypot(*y)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 7), kind=st.sampled_from(["cosine", "euclidean"]))
def test_intra_list_distance_equals_its_definition(seed, k, kind):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(9, 3))
    vectors[4] = vectors[5]
    vectors[8] = 0
    present = rng.random(9) < 0.8
    ids = np.array([rng.permutation(9)[:k] for _ in range(4)])
    ids[0, k // 2 :] = -1
    found = intra_list_distance(ids, vectors, kind, present)
    for row, value in zip(ids, found):
        kept = [i for i in row if i >= 0 and present[i] and (kind == "euclidean" or vectors[i].any())]
        expected = mean(distance(vectors[i], vectors[j], kind) for i in kept for j in kept if i != j)
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)


def test_values_computed_by_hand():
    everyone_sees_one = np.zeros((5, 1), np.int64)
    assert beyond.gini(everyone_sees_one, 4) == 1.0 and beyond.shannon_entropy(everyone_sees_one, 4) == 0.0
    all_equal = np.array([[0, 1], [2, 3]])
    assert beyond.gini(all_equal, 4) == 0.0
    assert beyond.shannon_entropy(all_equal, 4) == pytest.approx(math.log(4))
    assert beyond.coverage(np.array([[0, 1], [1, -1]]), 4) == 0.5
    assert beyond.novelty(np.array([[0, 1]]), np.array([8, 2]), 8).tolist() == [1.0]
    assert beyond.novelty(np.array([[0]]), np.array([0]), 8).tolist() == [3.0]
    # RecTools' documented example: four items, item 0 taken by 3 users, item 1 by 2.
    found = beyond.serendipity(np.array([[1], [0]]), RaggedArray.of([[1], [0]]), np.array([3, 2, 0, 0]))
    assert found.tolist() == [0.25, 0.0]
    assert intra_list_distance(np.array([[0, 1]]), np.eye(2)).tolist() == [1.0]
    assert intra_list_distance(np.array([[0, 1]]), np.array([[0.0, 0.0], [3.0, 4.0]]), "euclidean").tolist() == [5.0]


def test_chunks_do_not_change_the_distance(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, ids = rng.normal(size=(50, 8)), np.array([rng.permutation(50)[:6] for _ in range(40)])
    whole = intra_list_distance(ids, vectors)
    monkeypatch.setattr("palate.metrics.diversity._NUMBERS", 300)
    np.testing.assert_array_equal(intra_list_distance(ids, vectors), whole)


def test_bad_input_is_refused_by_name():
    ids = np.array([[0, 5]])
    with pytest.raises(DataError, match="item row 5"):
        beyond.coverage(ids, 3)
    with pytest.raises(DataError, match="item row 5"):
        beyond.average_popularity(ids, np.ones(3))
    with pytest.raises(DataError, match="empty"):
        beyond.gini(np.array([[-1]]), 3)
    with pytest.raises(DataError, match="no group"):
        beyond.popreo(np.array([[0]]), RaggedArray.of([[1]]), np.array([0, 0]))
    with pytest.raises(ConfigError, match="head_share"):
        beyond.long_tail(np.ones(3), 1.5)
    with pytest.raises(ConfigError, match="unknown distance"):
        intra_list_distance(ids, np.ones((6, 2)), "manhattan")
    with pytest.raises(DataError, match="item row 5"):
        intra_list_distance(ids, np.ones((3, 2)))
    with pytest.raises(DataError, match="not finite"):
        intra_list_distance(np.array([[0, 1]]), np.array([[1.0], [math.nan]]))
