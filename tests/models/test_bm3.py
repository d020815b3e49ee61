from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, as_users, batch, features, numpy, propagated, view

from palate.core.config import parse_config
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.models.match.bm3 import BM3
from palate.models.match.shared.node_tables import byte_dropout


def fitted(**settings):
    torch.manual_seed(0)
    model = BM3(**{"dim": 4, "standardise": False, **settings})
    model.setup(view(), RunContext())
    return model


def apart(a, b):
    cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float((1 - cos).mean())


def test_loss_by_hand():
    model = fitted(dropout=0.0, reg=0.3, modal_weight=1.5)
    train, table = view(), numpy(model.table)
    final = propagated(train, table, 2)
    final[N_USERS:] += table[N_USERS:]
    u, i = final[[0, 1]], final[N_USERS + np.array([4, 3])]

    def predict(x):
        return x @ numpy(model.predictor.weight).T + numpy(model.predictor.bias)

    match = apart(predict(u), i) + apart(predict(i), u)
    modal = 0.0
    for layer, name, rows in zip(model.maps, ("image", "text"), ([0], [0, 1])):
        z = train.features[name].values[[4, 3]].astype(np.float64)[rows] @ numpy(layer.weight).T + numpy(layer.bias)
        modal += apart(predict(z), i[rows]) + apart(predict(z), z)
    reg = 0.3 * (np.linalg.norm(final[:N_USERS]) + np.linalg.norm(final[N_USERS:])) / N_ITEMS
    found = model.loss(batch([0, 1], [4, 3], [[], []]))
    assert found["match"].item() == pytest.approx(match, rel=1e-4)
    assert found["modal"].item() == pytest.approx(modal, rel=1e-4)
    assert found["loss"].item() == pytest.approx(match + 1.5 * modal + reg, rel=1e-4)


def test_scores_are_dot_products_of_predictions():
    model = fitted()
    final = propagated(view(), numpy(model.table), 2)
    final[N_USERS:] += numpy(model.table)[N_USERS:]
    p = final @ numpy(model.predictor.weight).T + numpy(model.predictor.bias)
    warm = N_ITEMS - 1
    found = model.scorer().score(as_users(view(), [2, 3]))[:, :warm]
    np.testing.assert_allclose(numpy(found), p[[2, 3]] @ p[N_USERS : N_USERS + warm].T, rtol=1e-4, atol=1e-6)


def test_faithful_scores_every_item_by_the_vector_of_training_also_those_nobody_took():
    model = fitted(**BM3.presets["faithful"])
    final = propagated(view(), numpy(model.table), 2)
    final[N_USERS:] += numpy(model.table)[N_USERS:]
    p = final @ numpy(model.predictor.weight).T + numpy(model.predictor.bias)
    assert not view().warm_items.all()
    found = model.scorer().score(as_users(view(), [2, 3]))
    np.testing.assert_allclose(numpy(found), p[[2, 3]] @ p[N_USERS:].T, rtol=1e-4, atol=1e-6)
    described = fitted().scorer().score(as_users(view(), [2, 3]))
    assert not np.allclose(numpy(described)[:, ~view().warm_items], numpy(found)[:, ~view().warm_items])


def test_faithful_describes_items_that_training_may_not_see():
    train = view()
    hidden = train.visible_items.copy()
    hidden[0] = False
    kept = (train.items != 0).nonzero()[0]
    train = replace(train, visible_items=hidden, users=train.users[kept], items=train.items[kept])
    torch.manual_seed(0)
    model = BM3(dim=4, **BM3.presets["faithful"])
    model.setup(train, RunContext())
    final = propagated(train, numpy(model.table), 2)
    final[N_USERS:] += numpy(model.table)[N_USERS:]
    p = final @ numpy(model.predictor.weight).T + numpy(model.predictor.bias)
    items = numpy(model.vectors()[1])
    np.testing.assert_allclose(items[1:], p[N_USERS + 1 :], rtol=1e-4, atol=1e-6)
    assert not np.allclose(items[0], p[N_USERS])


def test_a_step_draws_one_mask_for_each_node():
    model = fitted(reg=0.0)
    twice, once = batch([0, 0, 1], [4, 4, 5], [[], [], []]), batch([0, 1], [4, 5], [[], []])
    found = []
    for some in (twice, once):
        torch.manual_seed(5)
        found.append({name: value.item() for name, value in model.loss(some).items()})
    torch.manual_seed(5)
    alone = {name: value.item() for name, value in model.loss(batch([1], [5], [[]])).items()}
    assert 3 * found[0]["match"] - 2 * found[1]["match"] * 2 == pytest.approx(-alone["match"], rel=1e-4)


def test_targets_get_no_gradient():
    model = fitted(modal_weight=0.0, reg=0.0, dropout=0.0, layers=0)
    with torch.no_grad():
        model.predictor.weight.zero_()
    model.loss(batch([0], [4], [[]]))["loss"].backward()
    assert float(model.table.grad.abs().sum()) == 0
    assert float(model.predictor.bias.grad.abs().sum()) > 0


def test_new_items_are_described_by_content_at_the_usual_length():
    model = fitted()
    model.on_fit_end()
    before = model.get_buffer("final_items").clone()
    rng = np.random.default_rng(1)
    content = {"image": features(rng, N_ITEMS + 2, (N_ITEMS + 1,)), "text": features(rng, N_ITEMS + 2, (N_ITEMS + 1,))}
    model.update_items(ItemFeatures.of(content, N_ITEMS + 2))
    items = model.get_buffer("final_items")
    torch.testing.assert_close(items[: N_ITEMS - 1], before[: N_ITEMS - 1])
    assert items[N_ITEMS].norm() == pytest.approx(before[: N_ITEMS - 1].norm(dim=1).mean().item(), rel=1e-4)
    assert model.scorer().scorable().tolist() == [True] * (N_ITEMS + 1) + [False]


def test_byte_dropout_keeps_the_expectation_and_the_share():
    torch.manual_seed(0)
    x = torch.ones(1000, 101)
    for p in (0.3, 0.5):
        y = byte_dropout(x, p)
        assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.01)
        assert y.mean().item() == pytest.approx(1, abs=0.01)
    assert byte_dropout(x, 0.0) is x
    torch.manual_seed(3)
    first = byte_dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, byte_dropout(x, 0.5))


def test_dropout_acts_in_training_only_and_every_part_learns():
    model = fitted()
    some = batch([0, 1], [4, 5], [[], []])
    assert model.loss(some)["loss"] != model.loss(some)["loss"]
    model.eval()
    assert model.loss(some)["loss"] == model.loss(some)["loss"]
    model.loss(some)["loss"].backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters())
    for settings in BM3.presets.values():
        parse_config(BM3.Config, settings, "bm3")
