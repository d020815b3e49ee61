import numpy as np
import pytest
import scipy.sparse as sp
import torch

from palate.core.errors import ConfigError, DataError
from palate.modules.edges import EdgeSampler
from palate.modules.graph import Graph, bipartite, user_item
from palate.modules.propagate import light_propagate, propagate


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 29, 150), rng.integers(0, 17, 150)  # user 29 and item 17 stay without edges


def dense_sym(users, items, n_users, n_items):
    a = np.zeros((n_users + n_items,) * 2)
    a[users, items + n_users] = a[items + n_users, users] = 1
    degree = a.sum(1)
    scale = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0)
    return scale[:, None] * a * scale[None]


def test_bipartite_is_the_symmetric_normalisation(pairs):
    graph = bipartite(*pairs, 30, 18)
    assert graph.symmetric and graph.transpose is graph
    np.testing.assert_allclose(graph.to_scipy().toarray(), dense_sym(*pairs, 30, 18), atol=1e-7)


def test_rows_of_a_row_normalised_graph_sum_to_one_or_are_empty(pairs):
    for graph in (user_item(*pairs, 30, 18), bipartite(*pairs, 30, 18, norm="row")):
        sums = graph.to_scipy().sum(axis=1)
        np.testing.assert_allclose(sums, (graph.degrees.numpy() > 0).astype(float), atol=1e-6)
        assert graph.degrees[29] == 0


def test_rectangular_sym_equals_a_block_of_the_bipartite_graph(pairs):
    block = bipartite(*pairs, 30, 18).to_scipy().toarray()[:30, 30:]
    np.testing.assert_allclose(user_item(*pairs, 30, 18, norm="sym").to_scipy().toarray(), block, atol=1e-7)


def test_duplicates_count_once_without_weights_and_are_summed_with(pairs):
    once = Graph.from_pairs([0, 0, 1], [1, 1, 0], (2, 2))
    assert once.to_scipy().toarray().tolist() == [[0, 1], [1, 0]]
    summed = Graph.from_pairs([0, 0, 1], [1, 1, 0], (2, 2), [1.0, 2.0, 4.0])
    assert summed.to_scipy().toarray().tolist() == [[0, 3], [4, 0]]
    both = Graph.from_pairs([0, 1, 1], [1, 0, 1], (2, 2), symmetric=True)
    assert both.to_scipy().toarray().tolist() == [[0, 1], [1, 1]]


def test_edge_weights_enter_the_degrees():
    graph = bipartite([0, 0], [0, 1], 1, 2, edge_weight=[1.0, 3.0])
    assert graph.to_scipy().toarray()[0, 1:] == pytest.approx([1 / np.sqrt(4 * 1), 3 / np.sqrt(4 * 3)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rectangular", [False, True])
def test_forward_equals_scipy(pairs, dtype, rectangular):
    graph = user_item(*pairs, 30, 18) if rectangular else bipartite(*pairs, 30, 18)
    x = torch.randn(graph.shape[1], 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    expected = graph.to_scipy().astype(np.float64) @ x.double().numpy()
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 3e-2}[dtype]
    out = propagate(graph, x)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.double().numpy(), expected, atol=tolerance)
    assert (out[29] == 0).all()


@pytest.mark.parametrize("norm", ["sym", "row", "none"])
def test_gradients_first_and_second_order(pairs, norm):
    for graph in (bipartite(*pairs, 30, 18, norm=norm), user_item(*pairs, 30, 18, norm=norm)):
        x = torch.randn(graph.shape[1], 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda v, g=graph: propagate(g, v).sin(), (x,))
    small = Graph.from_pairs([0, 1, 1], [1, 0, 2], (2, 3))
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: propagate(small, v) ** 3, (x,))


@pytest.mark.parametrize("reduce", ["mean", "sum", "last"])
@pytest.mark.parametrize("zero", [True, False])
def test_light_propagate_is_the_polynomial_of_the_adjacency(pairs, reduce, zero):
    a = dense_sym(*pairs, 30, 18)
    x = torch.randn(48, 3, dtype=torch.float64, requires_grad=True)
    layers = [np.linalg.matrix_power(a, power) @ x.detach().numpy() for power in range(4)][0 if zero else 1 :]
    expected = {"mean": np.mean(layers, 0), "sum": np.sum(layers, 0), "last": layers[-1]}[reduce]
    graph = bipartite(*pairs, 30, 18)
    np.testing.assert_allclose(light_propagate(graph, x, 3, reduce, zero).detach().numpy(), expected, atol=1e-6)
    assert torch.autograd.gradcheck(lambda v: light_propagate(graph, v, 3, reduce, zero), (x,))


def test_no_layers_is_the_input():
    graph, x = bipartite([0], [0], 1, 1), torch.randn(2, 3)
    torch.testing.assert_close(light_propagate(graph, x, 0), x)
    with pytest.raises(ConfigError):
        light_propagate(graph, x, 0, include_zero=False)


def test_light_propagate_over_a_directed_graph_uses_its_transpose(pairs):
    graph = bipartite(*pairs, 30, 18, norm="row")
    x = torch.randn(48, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: light_propagate(graph, v, 2), (x,))
    with pytest.raises(DataError, match="square"):
        light_propagate(user_item(*pairs, 30, 18), torch.ones(18, 2), 2)


def test_input_is_left_alone_and_not_aliased(pairs):
    x = torch.randn(48, 3)
    before = x.clone()
    for layers in range(3):
        light_propagate(bipartite(*pairs, 30, 18), x, layers, "sum").zero_()
    assert torch.equal(x, before)


def test_empty_graph_gives_zeros():
    graph = bipartite([], [], 2, 3)
    assert graph.n_edges == 0 and propagate(graph, torch.ones(5, 4)).eq(0).all()


def test_bad_edges_are_named():
    with pytest.raises(DataError, match=r"row 2.*users.*30"):
        bipartite([0, 30], [0, 1], 30, 18)
    with pytest.raises(DataError, match="not finite"):
        bipartite([0, 1], [0, 1], 2, 2, edge_weight=[1.0, np.nan])
    with pytest.raises(DataError, match="integers"):
        bipartite([0.5], [0], 2, 2)
    with pytest.raises(DataError, match="cannot propagate"):
        propagate(bipartite([0], [0], 1, 1), torch.ones(3, 2))


def test_from_scipy_sums_duplicates_and_drops_zeros():
    graph = Graph.from_scipy(sp.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 3)))
    assert graph.n_edges == 1 and graph.shape == (2, 3) and graph.transpose.shape == (3, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_result_and_gradient_on_a_gpu(pairs):
    for graph in (bipartite(*pairs, 30, 18), user_item(*pairs, 30, 18)):
        results = []
        for device in ("cpu", "cuda"):
            x = torch.arange(graph.shape[1] * 4.0).reshape(-1, 4).to(device).requires_grad_()
            propagate(graph, x).square().sum().backward()
            results.append((propagate(graph, x).detach().cpu(), x.grad.cpu()))
        for here, there in zip(*results):
            torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-3)


def test_sampler_keeps_the_fraction_of_real_edges_and_renormalises(pairs):
    sampler = EdgeSampler(*pairs, 30, 18)
    graph = sampler.draw(0.4, np.random.default_rng(3))
    count = round(0.4 * len(sampler))
    assert graph.n_edges == 2 * count
    block = graph.to_scipy()[:30, 30:].tocoo()
    assert set(zip(block.row, block.col)) <= set(zip(*pairs))
    np.testing.assert_allclose(graph.to_scipy().toarray(), dense_sym(block.row, block.col, 30, 18), atol=1e-7)
    again = sampler.draw(0.4, np.random.default_rng(3))
    assert torch.equal(graph.indices, again.indices)
    assert not torch.equal(graph.indices, sampler.draw(0.4, np.random.default_rng(4)).indices)
    assert sampler.draw(1.0, np.random.default_rng(0)).n_edges == 2 * len(sampler)
    with pytest.raises(DataError, match="items"):
        EdgeSampler([0], [18], 30, 18)
    with pytest.raises(ConfigError):
        sampler.draw(0.0, np.random.default_rng(0))


def test_sampler_draws_in_proportion_to_inverse_root_degrees():
    # items: one of degree 16 and sixteen of degree 1, all users of degree 2, so weights are 1 : 4
    users = np.repeat(np.arange(16), 2)
    items = np.stack([np.zeros(16, int), np.arange(1, 17)], 1).ravel()
    rng = np.random.default_rng(0)
    popular = {}
    for by in ("degree", "uniform"):
        sampler = EdgeSampler(users, items, 16, 17, by=by)
        first = [sampler.draw(1 / 32, rng).to_scipy()[:16, 16:].tocoo().col[0] == 0 for _ in range(600)]
        popular[by] = np.mean(first)
    assert popular["degree"] == pytest.approx(0.2, abs=0.05)
    assert popular["uniform"] == pytest.approx(0.5, abs=0.06)
