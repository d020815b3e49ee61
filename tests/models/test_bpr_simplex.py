import numpy as np
import pytest
import torch
from tiny_view import batch, log_sigmoid_loss, numpy, view

from palate.core.batch import RaggedArray, UserBatch
from palate.core.config import parse_config
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.models.match.bpr import BPR
from palate.models.match.bpr.pair_sweep import PairSweep
from palate.models.match.simplex import SimpleX


def fitted(kind, **settings):
    torch.manual_seed(0)
    model = kind(dim=4, **settings)
    model.setup(view(), RunContext())
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
    model.setup(view(), RunContext())
    assert model.users.std().item() == pytest.approx(np.sqrt(2 / (24 + 64)), rel=0.1)


def test_one_block_moves_down_the_gradient_of_the_loss():
    train, model = view(), fitted(BPR, reg=0.0)
    start = model.users.detach().clone(), model.items.detach().clone()
    sweep = PairSweep(train, 10**6, 0.0, 0)
    users, items = (table.clone() for table in start)
    found = sweep.run(users, items, 0.3, np.random.default_rng(4))
    drawn = sweep.negatives.draw(np.random.default_rng(4))
    history = train.history.take(sweep.order.numpy())
    takers = sweep.order.numpy()[history.owners()]
    loss = model.loss(batch(list(takers), list(history.items), [[j] for j in drawn]))["bpr"]
    loss.backward()
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for after, before, table in zip((users, items), start, (model.users, model.items)):
        torch.testing.assert_close(after, before - 0.3 * len(takers) * table.grad, rtol=1e-4, atol=1e-6)


def test_a_row_met_often_moves_as_single_steps_would():
    sweep = PairSweep(view(), 10**6, 0.5, 0)
    times, slope, start = torch.tensor([0, 1, 7, 100_000]), 0.8, 2.0
    keep, gain = (part[times, 0] for part in sweep._decay(100_000, 0.2, torch.device("cpu")))
    moved = keep * start + gain * slope * times
    expected = []
    for count in times.tolist():
        x = start
        for _ in range(min(count, 1000)):
            x += 0.2 * (slope - 0.5 * x)
        expected.append(x)
    torch.testing.assert_close(moved, torch.tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 10**6])
def test_blocks_of_any_size_sort_the_groups_and_repeat(size):
    train, tables = view(), []
    for _ in range(2):
        model = fitted(BPR)
        users, items = model.users.detach().clone(), model.items.detach().clone()
        sweep, rng = PairSweep(train, size, 0.01, 0), np.random.default_rng(0)
        losses = [sweep.run(users, items, 0.1, rng)["loss"] for _ in range(40)]
        assert losses[-1] < 0.5 * losses[0]
        tables.append((users, items))
    assert all(torch.equal(one, two) for one, two in zip(*tables))


@pytest.mark.parametrize("wrong", [{"penalty": "norm"}, {"weight_decay": 0.1}, {"lr": 3.0, "reg": 0.5}])
def test_descent_refuses_settings_it_would_not_follow(wrong):
    with pytest.raises(ConfigError, match="sgd"):
        BPR(**{"optimiser": "sgd", "penalty": "squares", **wrong})


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
    nobody = scorer.score(UserBatch(np.array([-1]), RaggedArray.of([[]])))
    assert torch.isfinite(nobody).all()


def test_simplex_history_and_ids_both_learn():
    model = fitted(SimpleX, negatives=2)
    model.loss(batch([0], [4], [[1, 2]]))["loss"].backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in (model.users, model.items, model.map))
