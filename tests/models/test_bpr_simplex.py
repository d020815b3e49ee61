import numpy as np
import pytest
import torch
from tiny_view import batch, log_sigmoid_loss, numpy, view

from palate.core.batch import Lists, UserBatch
from palate.core.config import parse_config
from palate.models.match.bpr import BPR
from palate.models.match.simplex import SimpleX


def fitted(kind, **settings):
    torch.manual_seed(0)
    model = kind(dim=4, **settings)
    model.setup(view())
    return model


def test_bpr_loss_by_hand():
    model = fitted(BPR, reg=0.5)
    users, items = numpy(model.users), numpy(model.items)
    u, p, n = users[[0, 1]], items[[0, 5]], items[[2, 3]]
    found = model.loss(batch([0, 1], [0, 5], [[2], [3]]))
    rank = log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1))
    reg = 0.5 * sum(np.sqrt((x**2).sum()) for x in (u, p, n)) / 2
    assert found["bpr"].item() == pytest.approx(rank, rel=1e-5)
    assert found["loss"].item() == pytest.approx(rank + reg, rel=1e-5)
    squares = fitted(BPR, reg=0.5, penalty="squares").loss(batch([0, 1], [0, 5], [[2], [3]]))
    assert squares["reg"].item() == pytest.approx(0.5 * sum((x**2).sum() / 2 for x in (u, p, n)) / 2, rel=1e-5)


def test_bpr_presets_parse_and_start_small():
    for settings in BPR.presets.values():
        parse_config(BPR.Config, settings, "bpr")
    torch.manual_seed(0)
    model = BPR(dim=64)
    model.setup(view())
    assert model.users.std().item() == pytest.approx(np.sqrt(2 / (24 + 64)), rel=0.1)


def test_simplex_loss_by_hand():
    model = fitted(SimpleX, negatives=2, margin=0.1, neg_weight=3.0, gamma=0.4, reg=0.2)
    train = view()
    users, items, v = numpy(model.users), numpy(model.items), numpy(model.map)
    rows, goods, bad = [0, 7], [4, 3], [[1, 2], [6, 9]]
    own = users[rows]
    means = np.stack([items[train.history[row]].mean(0) for row in rows])
    u = 0.4 * own + 0.6 * means @ v.T
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    pos = (u * unit[goods]).sum(1)
    neg = np.einsum("bd,bnd->bn", u, unit[bad])
    rank = (1 - pos).mean() + 3.0 * np.maximum(neg - 0.1, 0).mean()
    reg = 0.2 * ((own**2).sum() / 2 + (items[goods] ** 2).sum() / 2) / 2
    found = model.loss(batch(rows, goods, bad))
    assert found["ccl"].item() == pytest.approx(rank, rel=1e-4)
    assert found["loss"].item() == pytest.approx(rank + reg, rel=1e-4)


def test_simplex_serves_a_visitor_as_the_history_half_of_a_user():
    model = fitted(SimpleX, gamma=0.0)
    scorer, history = model.scorer(), view().history.take(np.array([5]))
    known = scorer.score(UserBatch(np.array([5]), history))
    stranger = scorer.score(UserBatch(np.array([-1]), history))
    torch.testing.assert_close(known, stranger)
    nobody = scorer.score(UserBatch(np.array([-1]), Lists.of([[]])))
    assert torch.isfinite(nobody).all()


def test_simplex_history_and_ids_both_learn():
    model = fitted(SimpleX, negatives=2)
    model.loss(batch([0], [4], [[1, 2]]))["loss"].backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in (model.users, model.items, model.map))
