from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError, DataError, FeatureError
from palate.ranking.dot import ItemVectors, topk_dot
from palate.ranking.selection import best, largest
from palate.ranking.topk import topk


def by_sorting(scores, k, exclude=None, allowed=None):
    """Every row sorted in full by (score falling, item rising)."""
    n, n_items = scores.shape
    ids, values = np.full((n, k), -1), np.full((n, k), -np.inf, np.float32)
    for row in range(n):
        banned = set() if exclude is None else set(exclude[row].tolist())
        items = range(n_items) if allowed is None else allowed
        open_items = [i for i in items if i not in banned and scores[row, i] > -np.inf]
        ranked = sorted(open_items, key=lambda i: (-float(scores[row, i]), i))[:k]
        ids[row, : len(ranked)] = ranked
        values[row, : len(ranked)] = scores[row, ranked]
    return ids, values


def random_lists(rng, n, n_items, most):
    return RaggedArray.of([rng.integers(0, n_items, rng.integers(0, most + 1)).tolist() for _ in range(n)])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 9),
    n_items=st.integers(1, 200),
    k=st.integers(1, 30),
    levels=st.sampled_from([1, 2, 5, 40, 10**6]),
    chunk=st.integers(1, 10),
    infinite=st.booleans(),
    select=st.sampled_from([None, "mask", "rows"]),
)
def test_topk_equals_a_full_sort(seed, n, n_items, k, levels, chunk, infinite, select):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-levels, levels, (n, n_items)) / np.float32(7)).astype(np.float32)
    if infinite:
        scores[rng.random(scores.shape) < 0.3] = -np.inf
        scores[rng.random(scores.shape) < 0.05] = np.inf
    exclude = random_lists(rng, n, n_items, n_items)
    mask = rng.random(n_items) < 0.5
    allowed = {None: None, "mask": mask, "rows": rng.permutation(np.flatnonzero(mask))}[select]
    tensor = torch.from_numpy(scores.copy())
    found = topk(lambda rows: tensor[rows[0] : rows[-1] + 1], n, k, exclude, allowed, chunk)
    ids, values = by_sorting(scores, k, exclude, None if select is None else np.flatnonzero(mask))
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.scores, values)
    np.testing.assert_array_equal(tensor.numpy(), scores)  # the scorer's own tensor is left as it was


@pytest.mark.parametrize("levels", [1, 3, 60, 4000])
def test_ties_at_the_border_go_to_the_lowest_items_of_a_wide_catalogue(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, (7, 5000)).astype(np.float32)
    scores[0, :4990] = -1.0  # the tie lies in the last columns, ...
    scores[1, 40:] = scores[1].max() + 1  # ... or is wider than the list
    for k in (1, 20, 300):
        found = topk(lambda rows: torch.from_numpy(scores[rows]), len(scores), k)
        ids, values = by_sorting(scores, k)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_array_equal(found.scores, values)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32),
    n_items=st.integers(1, 1500),
    dim=st.integers(1, 20),
    k=st.integers(1, 25),
    kind=st.sampled_from(["normal", "integers", "repeated", "zero users", "collapsed"]),
    select=st.booleans(),
)
def test_topk_dot_is_exact_and_independent_of_the_batch(seed, n_items, dim, k, kind, select):
    rng = np.random.default_rng(seed)
    n = 12
    users, items = rng.normal(size=(n, dim)), rng.normal(size=(n_items, dim))
    if kind == "integers":
        users, items = np.round(users), np.round(items)
    if kind == "repeated":
        items = items[rng.integers(0, max(1, n_items // 10), n_items)]
    if kind == "zero users":
        users[::2] = 0
    if kind == "collapsed":
        items[:] = items[0]
    users, items = users.astype(np.float32), items.astype(np.float32)
    exclude = random_lists(rng, n, n_items, min(n_items, 40))
    allowed = rng.random(n_items) < 0.6 if select else None
    left, right = torch.from_numpy(users), torch.from_numpy(items)
    found = topk_dot(left, right, k, exclude, allowed)

    exact = (users[:, None].astype(np.float64) * items[None].astype(np.float64)).sum(-1)
    tolerance = 1e-5 * (np.abs(users[:, None]) * np.abs(items[None])).sum(-1).max() + 1e-30
    for row in range(n):
        is_open = np.ones(n_items, bool) if allowed is None else allowed.copy()
        is_open[exclude[row]] = False
        length = min(k, int(is_open.sum()))
        ids = found.ids[row, :length]
        assert (found.ids[row, length:] == -1).all() and (found.scores[row, length:] == -np.inf).all()
        assert is_open[ids].all() and len(set(ids.tolist())) == length
        np.testing.assert_allclose(found.scores[row, :length], exact[row, ids], atol=tolerance)
        steps = list(zip(-found.scores[row, :length], ids, strict=True))
        assert steps == sorted(steps)  # falling scores, rising items among equals
        rest = is_open.copy()
        rest[ids] = False
        if length and rest.any():
            assert exact[row, rest].max() <= float(found.scores[row, length - 1]) + tolerance
            if kind in ("repeated", "collapsed"):  # of equal items the lowest row comes first
                last = (items == items[ids[-1]]).all(axis=1)
                assert not (np.flatnonzero(last & rest) < ids[-1]).any()
    for rows in (np.array([3]), np.array([7, 1]), rng.permutation(n)):
        again = topk_dot(left[rows], ItemVectors(right), k, exclude.take(rows), allowed, chunk=int(rng.integers(1, 9)))
        np.testing.assert_array_equal(again.ids, found.ids[rows])
        assert again.scores.tobytes() == found.scores[rows].tobytes()


def test_equal_integer_scores_match_a_full_sort():
    rng = np.random.default_rng(3)
    users, items = rng.integers(-2, 3, (300, 3)), rng.integers(-2, 3, (900, 3))
    found = topk_dot(torch.tensor(users).float(), torch.tensor(items).float(), 20)
    ids, values = by_sorting((users @ items.T).astype(np.float32), 20)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.scores, values)


def test_every_batch_size_gives_the_same_bits():
    draw = torch.Generator().manual_seed(1)
    users, items = torch.randn(130, 64, generator=draw), torch.randn(3000, 64, generator=draw)
    whole = topk_dot(users, items, 20, chunk=130)
    for size in (1, 2, 3, 7, 64, 128):
        part = topk_dot(users, items, 20, chunk=size)
        assert part.ids.tobytes() == whole.ids.tobytes() and part.scores.tobytes() == whole.scores.tobytes()


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 7), (64, 3), (500, 5), (5003, 20), (40_000, 2)])
def test_largest_finds_the_same_values_as_a_sort(n, k):
    scores = torch.randn(5, n, generator=torch.Generator().manual_seed(n))
    scores[1] = -torch.inf
    scores[2, ::3] = torch.inf
    scores[3] = 0.0
    values, columns = largest(scores, k)
    assert torch.equal(values, scores.gather(1, columns))
    assert torch.equal(values.sort(1, descending=True).values, scores.sort(1, descending=True).values[:, :k])
    assert all(len(set(row.tolist())) == k for row in columns)
    ordered, first = best(scores[3:4], k)
    assert first.tolist() == [list(range(k))] and (ordered == 0).all()


@pytest.mark.parametrize("nan", [torch.nan, -torch.nan])
@pytest.mark.parametrize("n_items", [5, 2000])
def test_a_nan_among_the_candidates_is_refused_by_row(n_items, nan):
    scores = torch.zeros(10, n_items)
    scores[6, 4] = nan
    with pytest.raises(DataError, match=r"row 7.*NaN"):
        topk(lambda rows: scores[rows], 10, 2, chunk=4)
    masked = topk(lambda rows: scores[rows], 10, 2, allowed=np.array([0, 1, 2]))
    assert masked.ids.tolist() == [[0, 1]] * 10


def test_half_precision_and_shared_memory_scores_are_accepted():
    popular = torch.tensor([1.0, 3.0, 2.0]).half()
    exclude = RaggedArray.of([[1], [], [2, 2]])
    found = topk(lambda rows: popular.expand(len(rows), 3), 3, 2, exclude)
    assert found.ids.tolist() == [[2, 0], [1, 2], [1, 0]] and found.scores.dtype == np.float32
    assert popular.tolist() == [1, 3, 2]


def test_lists_longer_than_the_catalogue_are_padded():
    found = topk_dot(torch.ones(2, 1), torch.tensor([[1.0], [2.0]]), 4, RaggedArray.of([[0, 1], []]))
    assert found.ids.tolist() == [[-1] * 4, [1, 0, -1, -1]]
    assert (
        topk_dot(torch.ones(2, 1), torch.ones(3, 1), 2, allowed=np.array([], np.int64)).ids.tolist() == [[-1, -1]] * 2
    )
    assert topk_dot(torch.ones(0, 1), torch.ones(3, 1), 2).ids.shape == (0, 2)


def test_bad_requests_are_refused_by_name():
    users, items = torch.ones(2, 3), torch.ones(4, 3)
    with pytest.raises(FeatureError, match="user vector is not finite"):
        topk_dot(torch.tensor([[1.0, torch.nan, 0.0]]), items, 1)
    with pytest.raises(FeatureError, match=r"row 2.*item vector"):
        topk_dot(users, torch.tensor([[0.0, 0.0, 0.0], [torch.inf, 0.0, 0.0]]), 1)
    with pytest.raises(FeatureError, match="overflow"):
        topk_dot(users * 1e30, items * 1e30, 1)
    with pytest.raises(FeatureError, match="do not match"):
        topk_dot(users, torch.ones(4, 2), 1)
    with pytest.raises(ConfigError, match="'k'"):
        topk_dot(users, items, 0)
    with pytest.raises(ConfigError, match="'exclude'"):
        topk_dot(users, items, 1, RaggedArray.of([[0]]))
    with pytest.raises(ConfigError, match="'exclude'"):
        topk_dot(users, items, 1, RaggedArray.of([[4], []]))
    with pytest.raises(ConfigError, match="'allowed'"):
        topk_dot(users, items, 1, allowed=np.array([-1]))
    with pytest.raises(ConfigError, match="'allowed'"):
        topk_dot(users, items, 1, allowed=np.ones(3, bool))
    with pytest.raises(DataError, match="shape"):
        topk(lambda rows: torch.ones(1, 4), 2, 1)


def test_no_block_holds_more_than_the_chunk():
    asked = []

    def score(rows):
        asked.append(rows.tolist())
        return torch.ones(len(rows), 5)

    topk(score, 7, 2, chunk=3)
    assert asked == [[0, 1, 2], [3, 4, 5], [6]]
