"""MMGCN against dense formulas, what is trained, masks and new items."""

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, batch, features, log_sigmoid_loss, numpy, view

from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.models.match.mmgcn import MMGCN


def _leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def _model(train, **settings):
    torch.manual_seed(0)
    model = MMGCN(**({"dim": 8, "layers": 2, "first": {"image": 5}} | settings))
    model.setup(train, RunContext())
    return model


def _affine(layer, x):
    return x @ numpy(layer.weight).T + numpy(layer.bias)


def _dense(model, train):
    x = train.matrix.toarray().astype(np.float64)
    n, ids = N_USERS + N_ITEMS, numpy(model.ids)
    total, count = np.zeros((n, model.config.dim)), np.zeros((n, 1))
    for branch, name in zip(model.branches, model.content.names):
        found = train.features[name]
        a = np.zeros((n, n))
        a[:N_USERS, N_USERS:] = x * found.present
        a[N_USERS:, :N_USERS] = x.T
        a /= np.maximum(a.sum(1, keepdims=True), 1)
        items = np.where(found.present[:, None], found.values, 0).astype(np.float64)
        items = items if branch.first is None else _affine(branch.first, items)
        has = np.concatenate([np.ones(N_USERS), found.present])[:, None]
        state = np.concatenate([numpy(branch.preference), items]) * has
        state /= np.maximum(np.linalg.norm(state, axis=1, keepdims=True), 1e-12)
        for convolve, own, mix in zip(branch.convolve, branch.own, branch.mix):
            h = _leaky(a @ state @ numpy(convolve))
            hat = _leaky(_affine(own, state)) * has + ids
            state = _leaky(_affine(mix, np.concatenate([h, hat], 1)))
        total += state * has
        count += has
    return total / count


def test_vectors_and_loss_equal_the_dense_formulas():
    train = view(absent=(3,))
    model = _model(train)
    final = _dense(model, train)
    users, items = (numpy(part) for part in model.vectors())
    np.testing.assert_allclose(users, final[:N_USERS], atol=1e-5)
    np.testing.assert_allclose(items, final[N_USERS:], atol=1e-5)  # also the item nobody took
    out = model.loss(batch([0, 1, 2], [4, 5, 3], [[1], [2], [6]]))
    u, p, n = final[:3], final[N_USERS:][[4, 5, 3]], final[N_USERS:][[1, 2, 6]]
    assert out["loss"].item() == pytest.approx(log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1)), rel=1e-4)


@pytest.mark.parametrize("preset", ["faithful", "paper"])
def test_presets_train_what_they_say(preset):
    model = _model(view(), **MMGCN.presets[preset])
    model.loss(batch([0, 1], [4, 5], [[1], [2]]))["loss"].backward()
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert fixed == ({"ids", "branches.0.preference", "branches.1.preference"} if preset == "faithful" else set())
    learns = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learns)


def test_penalty_is_the_mean_square_of_ids_and_preferences():
    train = view()
    model = _model(train, learn_ids=True, reg=0.5)
    out = model.loss(batch([0, 1], [4, 5], [[1], [2]]))
    ids = numpy(model.ids)
    squares = [np.square(ids[rows]).mean() for rows in ([0, 1], [N_USERS + 4, N_USERS + 5], [N_USERS + 1, N_USERS + 2])]
    squares += [np.square(numpy(branch.preference)).mean() for branch in model.branches]
    assert out["reg"].item() == pytest.approx(0.5 * sum(squares), rel=1e-4)


def test_what_absent_rows_hold_has_no_effect():
    train, other = view(absent=(3,)), view(absent=(3,))
    other.features["image"].values[3] = -123.0
    first, second = (_model(one).vectors() for one in (train, other))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_new_items_are_scored_by_content_and_leave_the_others_alone():
    train = view()
    model = _model(train)
    model.on_fit_end()
    model.update_items(ItemFeatures.of(train.features, N_ITEMS))
    before = model.scorer().item_vectors().clone()
    more = {name: features(np.random.default_rng(1), N_ITEMS + 2) for name in ("image", "text")}
    for name, found in more.items():
        found.values[:N_ITEMS], found.present[:N_ITEMS] = train.features[name].values, train.features[name].present
        found.present[N_ITEMS + 1] = False
    model.update_items(ItemFeatures.of(more, N_ITEMS + 2))
    after = model.scorer()
    np.testing.assert_allclose(after.item_vectors()[:N_ITEMS], before, atol=1e-6)
    assert after.item_vectors()[N_ITEMS].norm() > 0
    assert after.scorable()[N_ITEMS] and not after.scorable()[N_ITEMS + 1]
