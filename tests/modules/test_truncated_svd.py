import numpy as np
import pytest
import torch

from palate.core.errors import ConfigError
from palate.modules.graph import Graph
from palate.modules.spectral import truncated_svd


def low_rank(n, m, values, seed=0):
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(n, len(values))))[0]
    right = np.linalg.qr(rng.normal(size=(m, len(values))))[0]
    return (left * values) @ right.T


@pytest.mark.parametrize("shape", [(60, 40), (25, 70)])
def test_leading_triplets_are_those_of_a_dense_decomposition(shape):
    values = 0.8 ** np.arange(20)
    dense = low_rank(*shape, values)
    left, found, right = truncated_svd(Graph.from_scipy(dense), 6, extra=8)
    u, _, vt = np.linalg.svd(dense)
    np.testing.assert_allclose(found, values[:6], rtol=1e-4)
    for column in range(6):
        for mine, true in ((left[:, column], u[:, column]), (right[:, column], vt[column])):
            assert abs(float(mine.double() @ torch.from_numpy(true))) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose((left * found) @ right.T, (u[:, :6] * values[:6]) @ vt[:6], atol=2e-3)


def test_it_repeats_itself_and_signs_are_fixed():
    graph = Graph.from_scipy(low_rank(30, 20, np.array([1.0, 0.7, 0.4])))
    first, second = truncated_svd(graph, 3), truncated_svd(graph, 3, seed=1)
    for mine, again, other in zip(first, truncated_svd(graph, 3), second, strict=True):
        assert torch.equal(mine, again)
        np.testing.assert_allclose(mine, other, atol=1e-4)
    right = first[2]
    assert (right.gather(0, right.abs().argmax(0, keepdim=True)) > 0).all()


def test_directions_that_do_not_exist_are_zero_and_no_more_come_than_there_are():
    graph = Graph.from_pairs([0, 1, 2, 3], [0, 0, 1, 1], (5, 3))
    left, values, right = truncated_svd(graph, 64)
    assert left.shape == (5, 3) and right.shape == (3, 3)
    np.testing.assert_allclose(values, [2**0.5, 2**0.5, 0], atol=1e-3)
    assert torch.isfinite(left).all() and (left[4] == 0).all()
    np.testing.assert_allclose((left * values) @ right.T, graph.to_scipy().toarray(), atol=1e-5)
    with pytest.raises(ConfigError, match="dim"):
        truncated_svd(graph, 0)
