"""ItemKNN and content neighbours against dense formulas."""

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, RUN, as_users, features, view

from palate.core.batch import RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.metrics.held_out import validate
from palate.models.match.content_knn import ContentKNN
from palate.models.match.item_knn import ItemKNN, neighbours_by_users
from palate.ranking.scorer import Scorer


def _solved(model, train):
    model.setup(train, RunContext())
    assert model.solve(train, RUN)
    return model


def test_neighbours_are_the_largest_shrunk_cosines():
    train = view()
    x = train.matrix.toarray()
    count = x.T @ x
    norm = np.sqrt(count.diagonal())
    cosine = count / (norm[:, None] * norm[None, :] + 2.0)
    np.fill_diagonal(cosine, 0)
    ids, values = neighbours_by_users(train.matrix, 4, shrink=2.0, block=3)
    for item in range(N_ITEMS):
        order = np.argsort(-cosine[item], kind="stable")[:4]
        order = order[cosine[item, order] > 0]
        np.testing.assert_allclose(values[item, : len(order)], cosine[item, order], rtol=1e-5)
        assert (ids[item, len(order) :] == -1).all()


def test_powers_weigh_long_histories_and_popular_items_down():
    train = view()
    x = train.matrix.toarray()
    weighed = (x / np.maximum(x.sum(1, keepdims=True), 1)).T @ x
    count = weighed.diagonal().copy()
    wanted = weighed / np.outer(count, count).clip(1e-9) ** 0.25
    np.fill_diagonal(wanted, 0)
    ids, values = neighbours_by_users(train.matrix, N_ITEMS, user_power=1.0, item_power=0.25, block=5)
    dense = np.zeros((N_ITEMS, N_ITEMS))
    owner = np.repeat(np.arange(N_ITEMS)[:, None], N_ITEMS, axis=1)
    dense[owner[ids >= 0], ids[ids >= 0]] = values[ids >= 0]
    np.testing.assert_allclose(dense, wanted, rtol=1e-5, atol=1e-7)


def test_item_knn_scores_and_ranks_like_its_dense_matrix():
    train = view()
    model = _solved(ItemKNN(k=3, shrink=1.0), train)
    scorer = model.scorer()
    dense = np.zeros((N_ITEMS, N_ITEMS))
    ids, weights = model.neighbours.numpy(), model.weights.numpy()
    for row in range(N_ITEMS):
        dense[row, ids[row][ids[row] >= 0]] = weights[row][ids[row] >= 0]
    users = as_users(train, list(range(N_USERS)))
    np.testing.assert_allclose(scorer.score(users), train.matrix.toarray() @ dense, rtol=1e-5)
    allowed = np.arange(N_ITEMS) != 2
    for exclude in (None, train.history):
        fast = scorer.topk(users, 12, exclude, allowed)
        slow = Scorer.topk(scorer, users, 12, exclude, allowed)
        np.testing.assert_array_equal(fast[0], slow[0])
        np.testing.assert_array_equal(fast[1], slow[1])


def test_item_knn_chooses_on_validation_and_says_what():
    train = view()
    model = _solved(ItemKNN(k_grid=(1, 4), shrink_grid=(0.0, 5.0)), train)
    tried = {
        (k, shrink): validate(_solved(ItemKNN(k=k, shrink=shrink), train).scorer(), train.valid, RUN.metric)
        for k in (1, 4)
        for shrink in (0.0, 5.0)
    }
    chosen = model.selected_settings()
    assert tried[chosen["k"], chosen["shrink"]] == max(tried.values())
    assert not model.scorer().scorable()[N_ITEMS - 1]


def test_content_knn_is_the_mean_cosine_of_what_is_present():
    train = view(absent=(3, 5))
    model = _solved(ContentKNN(weights={"image": 0.5, "text": 1.0}, scaling={"image": "centre", "text": "none"}), train)
    blocks = []
    for name in ("image", "text"):
        found = train.features[name]
        values = np.where(found.present[:, None], found.values, 0.0)
        if name == "image":
            values = values - values[found.present].mean(0)
        blocks.append((values / np.linalg.norm(values, axis=1, keepdims=True), found.present))
    history = [0, 3, 7]
    want = np.zeros(N_ITEMS)
    share = np.zeros(N_ITEMS)
    for weight, (unit, present) in zip((0.5, 1.0), blocks):
        taken = [j for j in history if present[j]]
        want += np.where(present, weight * (unit @ unit[taken].T).mean(1), 0)
        share += weight * present
    visitor = UserBatch(np.array([-1]), RaggedArray.of([history]))
    np.testing.assert_allclose(model.scorer().score(visitor)[0], want * 1.5 / share, atol=1e-5)


def test_content_knn_prefers_the_modality_that_tells():
    train = view()
    noise = Features(np.random.default_rng(5).normal(size=(N_ITEMS, 6)).astype(np.float32), np.ones(N_ITEMS, bool))
    train = train.with_features({"image": noise, "text": train.features["text"]})
    model = _solved(ContentKNN(), train)
    assert model.selected_settings()["weights"]["text"] == 1.0
    assert model.selected_settings()["weights"]["image"] < 1.0
    assert validate(model.scorer(), train.valid, RUN.metric) == 1.0


def test_content_knn_takes_new_items_and_keeps_its_statistics():
    train = view()
    model = _solved(ContentKNN(), train)
    before = model.scorer().score(as_users(train, [0, 1, 2, 3]))
    more = {name: features(np.random.default_rng(1), N_ITEMS + 4) for name in ("image", "text")}
    for name, found in more.items():
        found.values[:N_ITEMS] = train.features[name].values
        found.present[:N_ITEMS] = train.features[name].present
    more["text"].present[N_ITEMS + 1] = more["image"].present[N_ITEMS + 1] = False
    model.update_items(ItemFeatures.of(more, N_ITEMS + 4))
    scorer = model.scorer()
    after = scorer.score(as_users(train, [0, 1, 2, 3]))
    np.testing.assert_allclose(after[:, :N_ITEMS], before, atol=1e-6)
    assert after[[0, 2, 3], N_ITEMS:].argmax(1).tolist() == [0, 2, 3]
    assert not scorer.scorable()[N_ITEMS + 1]


def test_content_knn_names_a_wrong_feature():
    with pytest.raises(ConfigError, match="imagge"):
        _solved(ContentKNN(weights={"imagge": 1.0}), view())


def test_statistics_of_a_run_of_an_earlier_version_are_read():
    model = ContentKNN()
    model.setup(view(), RunContext())
    width = len(model.columns.get_buffer("mean_1"))
    model.load_tensors({"mean_1": torch.full((width,), 2.0), "inverse_1": torch.full((width,), 3.0)})
    state = model.state_dict()
    assert (state["columns.mean_1"] == 2).all() and (state["columns.scale_1"] == 3).all()
    assert "mean_1" not in state and "inverse_1" not in state
