"""The protocol of an index, for every kind: a folder, Qdrant's client alone, and a server if there is one."""

from contextlib import closing, nullcontext

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_cases import DIM, Folder, Qdrant, brute, server, vectors

from palate.core.batch import RaggedArray
from palate.core.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:Local mode:UserWarning")
QDRANT = pytest.mark.skipif(server() is None, reason="PALATE_QDRANT_URL names no server")


@pytest.fixture(params=["folder", "memory", "path", pytest.param("server", marks=QDRANT)])
def fresh(request, tmp_path_factory):
    """``fresh()``: a context with a place that has no index yet."""

    def make():
        if request.param == "folder":
            return nullcontext(Folder(tmp_path_factory.mktemp("index")))
        pytest.importorskip("qdrant_client")
        if request.param == "server":
            return closing(Qdrant(None))
        return closing(Qdrant(":memory:" if request.param == "memory" else str(tmp_path_factory.mktemp("qdrant"))))

    return make


@pytest.fixture
def place(fresh):
    with fresh() as made:
        yield made


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_searches_find_rows_that_were_put_and_not_dropped(fresh, data):
    n, k, seed = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12)), data.draw(st.integers(0, 99))
    rng = np.random.default_rng([seed, 1])
    there = rng.random(n) < 0.8
    made = vectors(n, seed)
    with fresh() as place:
        index = place.build(made, there)
        table = {row: made[row] for row in np.flatnonzero(there).tolist()}
        several = st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 45), max_size=4)), max_size=6)
        for come, rows in data.draw(several):
            if come:
                new = rng.standard_normal((len(rows), DIM)).astype(np.float32)
                index.put(rows, new)
                table |= dict(zip(rows, new))
            else:
                index.drop(rows)
                table = {row: v for row, v in table.items() if row not in rows}
        queries = rng.standard_normal((3, DIM)).astype(np.float32)
        allowed = rng.random(44) < data.draw(st.sampled_from([0.03, 0.5, 1.0])) if data.draw(st.booleans()) else None
        exclude = (
            RaggedArray.of([rng.integers(0, 46, 5).tolist() for _ in queries]) if data.draw(st.booleans()) else None
        )
        for one in (index, place.another()):
            found, scores = one.search(queries, k, allowed, exclude)
            assert (found.dtype, scores.dtype) == (np.int64, np.float32)
            np.testing.assert_array_equal(found, brute(queries, table, k, allowed, exclude))
            for query, rows, values in zip(queries, found, scores):
                assert np.isneginf(values[rows < 0]).all()
                wanted = [float(query @ table[row]) for row in rows if row >= 0]
                np.testing.assert_allclose(values[rows >= 0], wanted, rtol=1e-4, atol=1e-5)


def test_another_reader_sees_updates_and_new_bases(place):
    index = place.build(vectors(20))
    other = place.another()
    assert not other.refresh()
    index.put([25], np.full((1, DIM), 9, np.float32))
    query = np.ones((1, DIM), np.float32)
    assert index.search(query, 1)[0][0, 0] == 25
    other.refresh()
    assert other.search(query, 1)[0][0, 0] == 25
    place.build(np.eye(DIM, dtype=np.float32))
    assert other.refresh() and other.search(query, 30)[0].max() == DIM - 1
    assert not other.refresh()
    other.put([30], np.full((1, DIM), 9, np.float32))
    index.refresh()
    assert index.search(query, 1)[0][0, 0] == 30


@pytest.mark.parametrize("bad", [np.ones((1, DIM + 1)), np.ones((2, DIM)), np.full((1, DIM), np.nan)])
def test_invalid_vectors_are_refused(place, bad):
    index = place.build(vectors(5))
    with pytest.raises(DataError):
        index.put([7], bad.astype(np.float32))
    with pytest.raises(DataError):
        index.put([-1], np.ones((1, DIM), np.float32))
    with pytest.raises(DataError):
        index.drop([-1])
    assert index.search(vectors(1), 9)[0].max() == 4
    with pytest.raises(DataError, match="2"):
        place.build(np.array([[1.0], [2], [np.inf]], np.float32))


def test_no_queries_and_no_rows(place):
    index = place.build(vectors(3), np.zeros(3, bool))
    assert index.search(vectors(2), 4)[0].tolist() == [[-1] * 4] * 2
    index.put([1], vectors(1))
    assert index.search(vectors(1), 2, np.zeros(3, bool))[0].tolist() == [[-1, -1]]
    rows, scores = index.search(np.zeros((0, DIM), np.float32), 4)
    assert rows.shape == scores.shape == (0, 4)
