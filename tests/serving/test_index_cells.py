"""Cells in bands of norm: calibration queries decide what is read, few rows are read, and the plan is stored."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from palate.core.batch import RaggedArray
from palate.ranking.scorer import VectorScorer
from palate.serving.index import LocalIndex
from palate.serving.index.calibration import SAMPLE_USERS, CalibrationQueries, sample_queries
from palate.serving.index.norm_bands import split_by_norm
from palate.serving.index.tuning import plan_search

pytest.importorskip("faiss")
ROWS, DIM = 8000, 16


def uneven(seed=0):
    """Vectors of very uneven norm."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((ROWS, DIM)) * rng.lognormal(0, 1.2, (ROWS, 1))).astype(np.float32)


def users(count=100, seed=1):
    """Queries of mostly one direction, as users resemble each other."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, DIM)) + 2 * (np.arange(DIM) < 2)).astype(np.float32)


@pytest.fixture(scope="module")
def items():
    return uneven()


@pytest.fixture(scope="module")
def folder(items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells") / "index"
    LocalIndex.build(folder, items, approximate=True, calibration=CalibrationQueries(users(200, 2)))
    return folder


@pytest.fixture
def index(folder):
    return LocalIndex(folder)


def recall(truth, found):
    return np.mean([np.isin(t[t >= 0], f).mean() for t, f in zip(truth, found)])


def exact(items, queries, k, allowed=None):
    scores = queries @ items.T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return np.argsort(-scores, axis=1)[:, :k]


def test_few_rows_are_read_and_most_neighbours_found(index, items):
    cells = index.state.ivf
    assert cells.plan.rows < ROWS / 5 and cells.plan.recall >= 0.98
    assert recall(exact(items, users(), 10), index.search(users(), 10)[0]) > 0.98
    one = [index.search(query[None], 10)[0][0] for query in users()]
    np.testing.assert_array_equal(one, index.search(users(), 10)[0])


def test_the_plan_depends_on_the_calibration_queries(items, index, tmp_path):
    queries = users(200, 2)
    alone = LocalIndex.build(tmp_path / "items", items, approximate=True)
    assert alone.state.ivf.plan.rows > index.state.ivf.plan.rows
    hidden = RaggedArray.of(exact(items, queries, 400).tolist())
    deeper = LocalIndex.build(
        tmp_path / "deeper", items, approximate=True, calibration=CalibrationQueries(queries, hidden)
    )
    assert deeper.state.ivf.plan.rows > index.state.ivf.plan.rows, "items taken already are not looked for"
    none = LocalIndex.build(tmp_path / "none", items, approximate=True, calibration=CalibrationQueries(queries[:0]))
    assert none.state.ivf.plan == alone.state.ivf.plan


@pytest.mark.parametrize("share", [0.02, 0.15, 0.6])
def test_a_narrow_filter_is_exact_and_others_lose_little(index, items, share):
    allowed = np.random.default_rng(3).random(ROWS) < share
    found, scores = index.search(users(), 10, allowed)
    truth = exact(items, users(), 10, allowed)
    assert allowed[found].all()
    assert recall(truth, found) > (0.97 if share > 0.1 else 0.99999)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", users(), items[found]), rtol=1e-4, atol=1e-4)


def test_a_filter_of_rarely_read_rows_is_exact(index, items):
    short = np.linalg.norm(items, axis=1) < np.median(np.linalg.norm(items, axis=1))
    np.testing.assert_array_equal(index.search(users(), 10, short)[0], exact(items, users(), 10, short))
    assert not index.state.ivf.plan_holds(short) and index.state.ivf.plan_holds(~short)


def test_dropping_most_neighbours_leaves_the_rest_findable(items, tmp_path):
    index = LocalIndex.build(tmp_path, items, approximate=True, calibration=CalibrationQueries(users(200, 2)))
    left = np.ones(ROWS, bool)
    left[np.argsort(-np.linalg.norm(items, axis=1))[:2000]] = False
    index.drop(np.flatnonzero(~left))
    np.testing.assert_array_equal(index.search(users(), 10)[0], exact(items, users(), 10, left))
    index.put([3], 1000 * users()[:1])
    assert LocalIndex(tmp_path).search(users()[:1], 1)[0].item() == 3


def test_more_results_than_the_planned_cells_hold(index, items):
    found, _ = index.search(users()[:2], 5000)
    np.testing.assert_array_equal(np.sort(found), np.sort(exact(items, users()[:2], 5000)))
    hidden = RaggedArray.of(exact(items, users()[:2], 3000).tolist())
    found, _ = index.search(users()[:2], 10, exclude=hidden)
    np.testing.assert_array_equal(found, exact(items, users()[:2], 3010)[:, 3000:])


def test_another_process_finds_the_same(index, folder, tmp_path):
    np.save(tmp_path / "queries.npy", users())
    code = (
        "import sys, numpy as np; from palate.serving.index import LocalIndex; queries = np.load(sys.argv[2]);"
        "np.save(sys.argv[3], LocalIndex(sys.argv[1]).search(queries, 10)[0])"
    )
    files = [str(tmp_path / name) for name in ("queries.npy", "found.npy")]
    subprocess.run([sys.executable, "-c", code, str(folder), *files], check=True)
    np.testing.assert_array_equal(np.load(files[1]), index.search(users(), 10)[0])


def test_the_plan_is_stored(folder, index):
    plan = json.loads((folder / "base-0" / "bands.json").read_text())
    assert plan["probes"] == index.state.ivf.plan.probes and plan["recall"] >= 0.98


def test_cells_of_the_former_format_are_rebuilt_with_their_changes(items, tmp_path, monkeypatch):
    monkeypatch.setattr("palate.serving.index.local.APPROXIMATE_FROM", 100)
    make = lambda: (items, np.ones(ROWS, bool))  # noqa: E731
    index = LocalIndex.open_shared(tmp_path, make)
    index.put([ROWS + 5], 1000 * users()[:1])
    base = tmp_path / "base-0"
    for file in (*base.glob("band*"), base / "likely.npy"):
        file.unlink()
    (base / "cells.faiss").write_bytes(b"of old")
    (base / "cells.json").write_text('{"probes": 2048, "recall": 1}')
    assert LocalIndex(tmp_path).state.ivf is None
    fresh = LocalIndex.open_shared(tmp_path, make)
    assert fresh.number == 1 and fresh.state.ivf is not None and LocalIndex.open_shared(tmp_path, make).number == 1
    assert fresh.search(users()[:1], 1)[0].item() == ROWS + 5


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_cells_of_very_few_rows(tmp_path, items, count):
    there = np.arange(50) < count
    index = LocalIndex.build(tmp_path, items[:50], there, True)
    found, _ = index.search(users(3), 4)
    wanted = exact(items[:50], users(3), 4, there)
    assert found.shape == (3, 4)
    np.testing.assert_array_equal(found[:, :count], wanted[:, :count])
    assert (found[:, count:] == -1).all()


def test_bands_hold_every_row_once_the_longest_first(items):
    rows = np.arange(3, ROWS)
    parts = split_by_norm(items, rows)
    assert [len(part) for part in parts] == [159, 640, 1600, 5598]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), rows)
    lengths = [np.linalg.norm(items[part], axis=1) for part in parts]
    assert all(long.min() >= short.max() for long, short in pairwise(lengths))
    assert all((np.diff(part) > 0).all() for part in parts)


class Cells:
    """One query's cells 0, 1, 2 in this order; a row's cell is what its vector says."""

    def __init__(self, *sizes):
        self.sizes = np.array(sizes)

    def nearest_cells(self, queries):
        return np.broadcast_to(np.arange(len(self.sizes)), (len(queries), len(self.sizes)))

    def cell_of(self, vectors):
        return vectors[:, 0].astype(int)


def test_the_cheapest_plan_by_hand():
    """Ranks 1..4 weigh 12, 6, 4, 3 of 25.

    Band 0: row 0 (rank 1) in cell 0 of 100 vectors, row 1 (rank 4) in cell 2 after an empty one. Band 1: row 2 (rank 2)
    in cell 1 of 10, behind a cell of 10 with nothing; row 3 (rank 3) is in its cell 2 of 1000.
    """
    vectors = np.array([[0], [2], [1], [2]], np.float32)
    members = [np.array([0, 1]), np.array([2, 3])]
    bands = [Cells(100, 10, 10), Cells(10, 10, 1000)]
    truth = np.array([[0, 2, 3, 1]])
    query = np.zeros((1, 1), np.float32)
    every = plan_search(bands, members, vectors, query, truth)
    assert every.probes == [3, 3] and every.recall == pytest.approx(1) and every.rows == 1140
    # the rich part of band 1 comes first, then both of band 0; the far cell is left when less is wanted
    few = np.array([[0, 2, 1]])
    some = plan_search(bands, members, vectors, query, few)
    assert some.probes == [3, 2] and some.rows == 140 and some.recall == pytest.approx(1)
    nothing = plan_search(bands, members, vectors, query, np.array([[-1, -1]]))
    assert nothing.probes == [0, 0] and nothing.rows == 0


def test_queries_are_sampled_from_users_with_a_history():
    import torch

    table = torch.from_numpy(users(3))
    table[1] = 0
    scorer = VectorScorer(table, torch.from_numpy(uneven()[:9]))
    seen = RaggedArray.of([[1, 2], [3], []])
    found = sample_queries(scorer, seen, [2, 1, 0])
    np.testing.assert_array_equal(found.vectors, users(3)[:1])
    assert [row.tolist() for row in found.exclude] == [[1, 2]]
    assert sample_queries(scorer, seen, [2]) is None and sample_queries(scorer, seen, []) is None
    many = RaggedArray.of([[1]] * 900)
    scorer.users = torch.ones(900, DIM)
    assert len(sample_queries(scorer, many, range(900)).vectors) == SAMPLE_USERS


def test_a_service_plans_for_its_own_users(opened, monkeypatch):
    queries_planned_for = []

    def recording(*arguments):
        queries_planned_for.append(arguments[3])
        return plan_search(*arguments)

    monkeypatch.setattr("palate.serving.index.local.APPROXIMATE_FROM", 10)
    monkeypatch.setattr("palate.serving.index.banded_ivf.plan_search", recording)
    snapshot = opened("vectors").snapshot
    served = snapshot.models["main"]
    assert served.index.state.ivf is not None
    users = served.scorer.users.numpy()
    (queries,) = queries_planned_for
    assert len(queries) > 30 and (queries[:, None] == users[None]).all(2).any(1).all()
