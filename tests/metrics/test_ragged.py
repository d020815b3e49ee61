import numpy as np
import scipy.sparse as sp

from palate.metrics.ragged import ragged_topk


def test_equals_sorting_every_row():
    rng = np.random.default_rng(0)
    matrix = sp.random_array((200, 90), density=0.2, rng=rng, format="csr", dtype=np.float32)
    matrix.data = np.round(matrix.data * 8).astype(np.float32) - 1  # ties, zeros and negatives
    matrix.data[::7] *= 1 + 1e-6
    ids, scores = ragged_topk(matrix.indptr, matrix.indices, matrix.data, 7)
    for row in range(200):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[part], matrix.data[part]
        order = np.lexsort((columns, -values))
        order = order[values[order] > 0][:7]
        assert ids[row].tolist() == columns[order].tolist() + [-1] * (7 - len(order))
        assert scores[row, : len(order)].tolist() == values[order].tolist()
        assert np.isneginf(scores[row, len(order) :]).all()


def test_empty_rows_and_no_entries():
    ids, scores = ragged_topk(np.array([0, 0, 0]), np.zeros(0, np.int32), np.zeros(0, np.float32), 3)
    assert (ids == -1).all() and np.isneginf(scores).all()
