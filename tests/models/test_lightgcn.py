import numpy as np
import pytest
import torch
from tiny_view import N_USERS, as_users, batch, log_sigmoid_loss, numpy, propagated, view

from palate.core.config import parse_config
from palate.core.context import RunContext
from palate.models.match.lightgcn import LightGCN


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = LightGCN(dim=4, layers=2, reg=0.3)
    made.setup(view(), RunContext())
    return made


def test_loss_by_hand(model):
    table = numpy(model.table)
    final = propagated(view(), table, 2)
    rows = [np.array([0, 1]), N_USERS + np.array([4, 5]), N_USERS + np.array([2, 3])]
    u, p, n = (final[r] for r in rows)
    rank = log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1))
    reg = 0.3 * sum(np.linalg.norm(table[r]) for r in rows) / 2
    found = model.loss(batch([0, 1], [4, 5], [[2], [3]]))
    assert found["bpr"].item() == pytest.approx(rank, rel=1e-5)
    assert found["loss"].item() == pytest.approx(rank + reg, rel=1e-5)


def test_scores_are_those_of_the_propagated_vectors_before_and_after_training_ends(model):
    final = propagated(view(), numpy(model.table), 2)
    users = as_users(view(), [3, 4])
    expected = final[[3, 4]] @ final[N_USERS:].T
    np.testing.assert_allclose(numpy(model.scorer().score(users)), expected, rtol=1e-4, atol=1e-7)
    model.on_fit_end()
    np.testing.assert_allclose(numpy(model.scorer().score(users)), expected, rtol=1e-4, atol=1e-7)


def test_gradient_reaches_neighbours_and_items_nobody_took_stay_unknown(model):
    model.loss(batch([0], [4], [[2]]))["bpr"].backward()
    touched = model.table.grad.abs().sum(1) > 0
    assert touched[[0, N_USERS + 4, N_USERS + 2]].all() and touched[:N_USERS].sum() > 1
    assert not model.scorer().scorable()[-1]


def test_tables_start_by_their_own_size():
    torch.manual_seed(0)
    model = LightGCN(dim=64)
    model.setup(view(), RunContext())
    assert model.table[:N_USERS].abs().max() <= np.sqrt(6 / (N_USERS + 64))
    assert model.table[N_USERS:].abs().max() > np.sqrt(6 / (N_USERS + 64))
    for settings in LightGCN.presets.values():
        parse_config(LightGCN.Config, settings, "lightgcn")
