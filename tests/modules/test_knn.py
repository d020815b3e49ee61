import numpy as np
import pytest
import torch

from palate.core.errors import ConfigError, DataError, FeatureError
from palate.modules.graph import Graph
from palate.modules.knn import knn_graph, mix_graphs, nearest_neighbours, neighbour_graph
from palate.modules.spectral import spectral_embedding


@pytest.fixture
def features():
    return np.random.default_rng(0).standard_normal((83, 6)).astype(np.float32)


@pytest.mark.parametrize("include_self", [True, False])
def test_neighbours_equal_brute_force_in_any_block_size(features, include_self):
    present = np.random.default_rng(1).random(83) > 0.2
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    score = unit @ unit.T
    score[:, ~present] = -np.inf
    if not include_self:
        np.fill_diagonal(score, -np.inf)
    expected = np.argsort(-score, axis=1)[:, :7]
    for block in (1, 10, 1000):
        idx, cos = nearest_neighbours(features, present, 7, include_self, block)
        assert (idx[~present] == -1).all() and (cos[~present] == 0).all()
        assert (idx[present] == expected[present]).all()
        np.testing.assert_allclose(cos[present], np.take_along_axis(score, expected, 1)[present], atol=1e-6)


def test_absent_and_zero_items_have_no_edges(features):
    features[4], features[5] = np.nan, 0
    present = np.ones(83, bool)
    present[4] = False
    matrix = knn_graph(features, present, k=5).to_scipy().toarray()
    assert not matrix[[4, 5]].any() and not matrix[:, [4, 5]].any()
    with pytest.raises(FeatureError, match="row 5"):
        knn_graph(features, k=5)


def test_fewer_items_than_neighbours_are_padded():
    idx, cos = nearest_neighbours(np.eye(3), k=10)
    assert idx.shape == (3, 10) and (idx[:, 3:] == -1).all() and (cos[:, 3:] == 0).all()
    idx, _ = nearest_neighbours(np.eye(1), k=2, include_self=False)
    assert (idx == -1).all()


def test_binary_weights_are_the_constant_of_freedom(features):
    graph = knn_graph(features, k=10, weights="binary")
    np.testing.assert_allclose(graph.weights.numpy(), 0.1, atol=1e-6)
    assert graph.n_edges == 830


def test_cosine_weights_follow_lattice_by_hand():
    graph = neighbour_graph([[0, 1], [1, -1]], [[1.0, 0.5], [1.0, 9.0]])
    row = np.array([1.5, 1.0])
    expected = np.array([[1 / 1.5, 0.5 / np.sqrt(row[0] * row[1])], [0, 1]])
    np.testing.assert_allclose(graph.to_scipy().toarray(), expected, atol=1e-6)


def test_symmetrised_graph_is_symmetric_and_directed_is_not_declared_so(features):
    both = knn_graph(features, k=4, symmetrise=True)
    matrix = both.to_scipy().toarray()
    assert both.symmetric and np.allclose(matrix, matrix.T)
    directed = knn_graph(features, k=4)
    assert not directed.symmetric and directed.n_edges <= both.n_edges


def test_mixture_rescales_where_a_modality_is_missing():
    image = Graph.from_pairs([0], [1], (3, 3))
    text = Graph.from_pairs([0, 1], [2, 2], (3, 3))
    mixed = mix_graphs([image, text], [0.1, 0.9]).to_scipy().toarray()
    np.testing.assert_allclose(mixed, [[0, 0.1, 0.9], [0, 0, 1.0], [0, 0, 0]], atol=1e-6)


def test_mixture_of_symmetric_graphs_stays_symmetric_only_if_it_is():
    a = Graph.from_pairs([0, 1], [1, 2], (3, 3), symmetric=True)
    b = Graph.from_pairs([0], [2], (3, 3), symmetric=True)
    assert mix_graphs([a, a], [0.5, 0.5]).symmetric
    mixed = mix_graphs([a, b], [0.5, 0.5])
    assert not mixed.symmetric and not np.allclose(mixed.to_scipy().toarray(), mixed.to_scipy().toarray().T)


def test_bad_input_is_refused(features):
    with pytest.raises(ConfigError):
        nearest_neighbours(features, k=0)
    with pytest.raises(FeatureError):
        nearest_neighbours(features, np.ones(3, bool))
    with pytest.raises(DataError):
        neighbour_graph([[0]], [[1.0, 2.0]])
    with pytest.raises(DataError):
        mix_graphs([Graph.from_pairs([0], [0], (1, 1)), Graph.from_pairs([0], [0], (2, 2))], [1, 1])
    with pytest.raises(ConfigError):
        mix_graphs([Graph.from_pairs([0], [0], (1, 1))], [-1])


def two_cliques(n: int) -> Graph:
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, n, 12 * n), rng.integers(0, n, 12 * n)
    same = (rows < n // 2) == (cols < n // 2)
    return Graph.from_pairs(rows[same], cols[same], (n + 2, n + 2), symmetric=True)


@pytest.mark.parametrize("n", [20, 200])
def test_spectral_embedding_keeps_neighbours_close_and_is_deterministic(n):
    graph = two_cliques(n)
    x, present = spectral_embedding(graph, dim=6)
    assert x.shape == (n + 2, 6) and x.dtype == np.float32
    assert (~present[-2:]).all() and not x[-2:].any() and present[:n].all()
    unit = x[:n] / np.linalg.norm(x[:n], axis=1, keepdims=True)
    cos = unit @ unit.T
    half = n // 2
    assert cos[:half, :half].mean() > 0.3 and abs(cos[:half, half:].mean()) < 0.05
    assert np.array_equal(x, spectral_embedding(graph, dim=6)[0])
    largest = x[np.abs(x).argmax(0), np.arange(6)]
    assert (largest > 0).all()


def test_spectral_embedding_is_the_best_low_rank_factor():
    graph = two_cliques(60).normalised("sym")
    x, _ = spectral_embedding(graph, dim=5)
    value, vector = np.linalg.eigh(graph.normalised("sym").to_scipy().toarray().astype(np.float64))
    best = (vector[:, -5:] * value[-5:]) @ vector[:, -5:].T
    np.testing.assert_allclose(x.astype(np.float64) @ x.T, best, atol=1e-5)


def test_spectral_embedding_wider_than_the_graph_is_padded_with_zeros():
    x, present = spectral_embedding(Graph.from_pairs([0], [1], (2, 2), symmetric=True), dim=8)
    assert present.all() and x.shape == (2, 8) and not x[:, 2:].any()
    np.testing.assert_allclose(x[:, 0], np.sqrt(0.5), atol=1e-6)
    empty, none = spectral_embedding(Graph.from_pairs([], [], (2, 2)), dim=3)
    assert not none.any() and not empty.any()
    with pytest.raises(ConfigError):
        spectral_embedding(Graph.from_pairs([0], [1], (2, 3)))


def test_torch_features_are_accepted(features):
    idx, _ = nearest_neighbours(torch.from_numpy(features), k=3)
    assert np.array_equal(idx, nearest_neighbours(features, k=3)[0])
