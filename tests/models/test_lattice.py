import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, batch, log_sigmoid_loss, numpy, propagated, view

from palate.core.context import RunContext
from palate.models.match.lattice import LATTICE, normalised

K, INITIAL = 3, 0.7


def fitted(train=None, **settings):
    torch.manual_seed(0)
    model = LATTICE(dim=4, projected_dim=5, **{"k": K, "initial": INITIAL, "item_layers": 2, **settings})
    model.setup(train or view(), RunContext())
    with torch.no_grad():
        model.mixture.copy_(torch.tensor([0.2, -0.5]))
    return model


def dense_graph(values, present):
    """D^-1/2 A D^-1/2 of the k nearest among those present; cosines below zero are no edges."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosine = np.where(present[None, :], unit @ unit.T, -np.inf)
    edges = np.zeros((N_ITEMS, N_ITEMS))
    for row in np.flatnonzero(present):
        near = np.argsort(-cosine[row])[:K]
        edges[row, near] = cosine[row, near].clip(min=0)
    scale = np.where(present, np.maximum(edges.sum(1), 1e-9) ** -0.5, 0)
    return scale[:, None] * edges * scale[None, :]


def final_by_hand(model, train):
    table = numpy(model.table)
    share = np.exp(numpy(model.mixture))
    total, mass = np.zeros((N_ITEMS, N_ITEMS)), np.zeros(N_ITEMS)
    for weight, layer, name in zip(share, model.maps, ("image", "text")):
        found = train.features[name]
        values = np.where(found.present[:, None], found.values, 1).astype(np.float64)
        learnt = values @ numpy(layer.weight).T + numpy(layer.bias)
        graph = INITIAL * dense_graph(values, found.present) + (1 - INITIAL) * dense_graph(learnt, found.present)
        total += weight * graph
        mass += weight * found.present
    smooth = table[N_USERS:]
    for _ in range(2):
        smooth = (total / mass[:, None]) @ smooth
    final = propagated(train, table, 2)
    final[N_USERS:] += smooth / np.linalg.norm(smooth, axis=1, keepdims=True)
    return final


def test_two_neighbours_by_hand():
    near = torch.tensor([[0, 1], [1, 0], [-1, -1]])
    weights = normalised(near, torch.tensor([[1.0, 0.44], [1.0, -0.3], [0.0, 0.0]]))
    expected = [[1 / 1.44, 0.44 / 1.44**0.5], [1.0, 0.0], [0.0, 0.0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_loss_by_hand():
    model, train = fitted(reg=0.1), view()
    final = final_by_hand(model, train)
    u, p, n = final[[0, 1]], final[N_USERS + np.array([4, 3])], final[N_USERS + np.array([2, 5])]
    rank = log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1))
    reg = 0.1 * sum((rows**2).sum() for rows in (u, p, n)) / 4
    found = model.loss(batch([0, 1], [4, 3], [[2], [5]]))
    assert found["bpr"].item() == pytest.approx(rank, rel=1e-5)
    assert found["loss"].item() == pytest.approx(rank + reg, rel=1e-5)


def test_without_the_latent_part_it_is_lightgcn():
    model = fitted(latent=0.0)
    assert not len(model.maps) and not model.mixture.requires_grad
    users, items = model.vectors()
    expected = propagated(view(), numpy(model.table), 2)
    np.testing.assert_allclose(np.concatenate([numpy(users), numpy(items)]), expected, rtol=1e-4, atol=1e-7)


def test_neighbours_are_chosen_anew_before_each_epoch_and_for_scoring():
    model, train = fitted(initial=INITIAL), view()
    chosen = [near.clone() for near in model.learnt]
    with torch.no_grad():
        for layer in model.maps:
            layer.weight.copy_(torch.randn_like(layer.weight))
    expected = final_by_hand(model, train)
    np.testing.assert_allclose(numpy(model.vectors()[0]), expected[:N_USERS], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numpy(model._nodes(model._search())), expected, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(near, before) for near, before in zip(model.learnt, chosen)), "scoring changes no training"
    model.on_epoch(1, np.random.default_rng(0))
    assert any(not torch.equal(near, before) for near, before in zip(model.learnt, chosen))


def test_gradients_reach_the_projections_through_the_cosines():
    model = fitted()
    model.loss(batch([0, 1], [4, 3], [[2], [5]]))["loss"].backward()
    for layer in model.maps:
        assert layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0
    assert model.mixture.grad.abs().sum() > 0
    frozen = fitted(initial=1.0)
    assert not len(frozen.maps) and frozen.mixture.requires_grad
