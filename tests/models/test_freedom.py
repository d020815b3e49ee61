import numpy as np
import pytest
import torch
from tiny_view import GROUPS, N_ITEMS, N_USERS, as_users, batch, log_sigmoid_loss, numpy, propagated, view

from palate.core.config import parse_config
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.data.relations import Edges, Relations
from palate.features.item_content import ItemContent
from palate.models.match.freedom import FREEDOM
from palate.models.match.shared.item_graph import given_graph, item_graph


def fitted(train=None, **settings):
    torch.manual_seed(0)
    model = FREEDOM(dim=4, **{"k": 3, **settings})
    model.setup(train or view(), RunContext())
    return model


def mean_graph(train, k=3):
    """Item 3 has no image, so text alone describes it."""
    out = np.zeros((N_ITEMS, N_ITEMS))
    mass = np.zeros(N_ITEMS)
    for name, weight in (("image", 0.1), ("text", 0.9)):
        found = train.features[name]
        x = found.values.astype(np.float64)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        cos = np.where(found.present[None, :], x @ x.T, -np.inf)
        for row in np.flatnonzero(found.present):
            out[row, np.argsort(-cos[row])[:k]] += weight / k
            mass[row] += weight
    return out / mass[:, None]


def test_item_graph_is_a_weighted_mean_over_neighbours_with_the_item_itself():
    train = view()
    content = ItemContent({"image": 6, "text": 6}, standardise=False)
    content.fit(ItemFeatures.of(train.features, N_ITEMS))
    graph = item_graph(train, content, 3)
    np.testing.assert_allclose(graph.to_scipy().toarray(), mean_graph(train), atol=1e-6)


def test_given_neighbours_take_the_place_of_vectors():
    edges = Edges(np.array([0, 0, 0, 1]), np.array([4, 8, 12, 5]), np.array([0.2, 0.9, 0.5, 0.4], np.float32))
    graph = given_graph(edges, N_ITEMS, 3).to_scipy().toarray()
    np.testing.assert_allclose(graph[0, [0, 8, 12]], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(graph[1, [1, 5]], 1 / 2, rtol=1e-6)
    assert graph[2:].sum() == 0 and graph[0, 4] == 0
    train = view(relations=Relations({"knn_text": edges}))
    mixed = item_graph(train, ItemContent({}, standardise=False), 3)
    np.testing.assert_allclose(mixed.to_scipy().toarray(), graph, rtol=1e-6)


def test_loss_by_hand():
    model = fitted(modal_weight=0.5)
    train, table = view(), numpy(model.table)
    final = propagated(train, table, 2)
    final[N_USERS:] += mean_graph(train) @ table[N_USERS:]
    u, p, n = final[[0, 1]], final[N_USERS + np.array([4, 5])], final[N_USERS + np.array([2, 3])]
    rank = log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1))
    modal = 0.0
    for layer, name, rows in zip(model.maps, ("image", "text"), ([0], [0, 1])):
        x = train.features[name].values.astype(np.float64) @ numpy(layer.weight).T + numpy(layer.bias)
        gap = (u * x[[4, 5]]).sum(1) - (u * x[[2, 3]]).sum(1)
        modal += log_sigmoid_loss(gap[rows])
    found = model.loss(batch([0, 1], [4, 5], [[2], [3]]))
    assert found["bpr"].item() == pytest.approx(rank, rel=1e-5)
    assert found["loss"].item() == pytest.approx(rank + 0.5 * modal, rel=1e-5)


def test_every_epoch_thins_the_graph_from_its_own_stream():
    model = fitted(edge_dropout=0.75)
    edges = len(view())
    graphs = []
    for seed in (0, 1, 0):
        model.on_epoch(0, np.random.default_rng(seed))
        assert model.thinned.n_edges == 2 * round(edges * 0.25)
        graphs.append(model.thinned.to_scipy().toarray())
    assert (graphs[0] == graphs[2]).all() and (graphs[0] != graphs[1]).any()
    full = propagated(view(), numpy(model.table), 2)[:N_USERS]
    np.testing.assert_allclose(numpy(model.vectors()[0]), full, rtol=1e-4, atol=1e-7)


def test_a_new_item_is_the_mean_of_its_content_neighbours():
    model = fitted(weights={"image": 0.0, "text": 1.0})
    model.on_fit_end()
    before = model.get_buffer("final_items").clone()
    values = np.zeros((N_ITEMS + 2, 6), np.float32)
    values[:N_ITEMS] = view().features["text"].values
    values[N_ITEMS, 1] = 1
    text = Features(values, np.arange(N_ITEMS + 2) != N_ITEMS + 1)
    model.update_items(ItemFeatures.of({"text": text}, N_ITEMS + 2))
    unit = values[:N_ITEMS] / np.linalg.norm(values[:N_ITEMS], axis=1, keepdims=True)
    near = np.argsort(-unit[:, 1])[:3]
    assert (near % GROUPS == 1).all()
    after = model.get_buffer("final_items")
    torch.testing.assert_close(after[:N_ITEMS], before)
    torch.testing.assert_close(after[N_ITEMS], before[near].mean(0))
    assert model.scorer().scorable().tolist() == [True] * (N_ITEMS + 1) + [False]
    assert torch.isfinite(model.scorer().score(as_users(view(), [0]))).all()


def test_items_hidden_in_fitting_arrive_and_leave_again():
    train = view(cold=4)
    hidden = np.arange(N_ITEMS) < N_ITEMS - 4
    everything = dict(train.features)
    shown = {name: value.mask_rows(hidden) for name, value in everything.items()}
    model = fitted(train.with_features(shown))
    assert model.scorer().scorable().sum() == N_ITEMS - 4
    alone = model.vectors()[1]
    model.update_items(ItemFeatures.of(everything, N_ITEMS))
    assert model.scorer().scorable().all()
    torch.testing.assert_close(model.vectors()[1][hidden], alone[hidden])
    model.update_items(ItemFeatures.of(shown, N_ITEMS))
    torch.testing.assert_close(model.vectors()[1], alone)
    assert model.scorer().scorable().sum() == N_ITEMS - 4


def test_without_any_vectors_the_given_graph_is_enough():
    order = np.arange(N_ITEMS - 1)
    edges = Edges(order, order + 1, np.ones(N_ITEMS - 1, np.float32))
    train = view(relations=Relations({"knn_text": edges})).with_features({})
    model = fitted(train)
    assert set(model.loss(batch([0], [4], [[2]]))) == {"loss", "bpr"}
    model.update_items(ItemFeatures.of({}, N_ITEMS))
    model.on_fit_end()
    model.update_items(ItemFeatures.of({}, N_ITEMS + 1))
    assert not model.scorer().scorable()[-1]


def test_the_faithful_preset_trains_a_copy_of_the_features_and_forgets_it():
    model = fitted(**FREEDOM.presets["faithful"])
    frozen = fitted(modal_weight=1e-3)
    some = batch([0, 1], [4, 5], [[2], [3]])
    torch.testing.assert_close(model.loss(some)["loss"], frozen.loss(some)["loss"])
    model.loss(some)["loss"].backward()
    text = model.content.trained[1].grad.abs().sum(1)
    assert (text > 0).nonzero().squeeze(1).tolist() == [2, 3, 4, 5]
    assert model.content.trained[0].grad[[3, 5]].abs().sum() == 0  # item 3 has no image: its pair does not count
    model.on_fit_end()
    assert not [name for name in model.state_dict() if "trained" in name]


def test_every_part_learns_and_presets_parse():
    model = fitted(modal_weight=0.5)
    model.loss(batch([0, 1], [4, 5], [[2], [3]]))["loss"].backward()
    # the bias of a map cancels in the difference of two items
    learning = [model.table, *(layer.weight for layer in model.maps)]
    assert all(float(p.grad.abs().sum()) > 0 for p in learning)
    for settings in FREEDOM.presets.values():
        parse_config(FREEDOM.Config, settings, "freedom")
