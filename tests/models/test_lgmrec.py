"""LGMRec against dense formulas, its masks, and new items."""

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, batch, features, log_sigmoid_loss, numpy, propagated, view

from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.losses.blocked import factored_info_nce
from palate.models.match.lgmrec import LGMRec


def _unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _model(train, **settings):
    torch.manual_seed(0)
    model = LGMRec(**({"dim": 8, "layers": 2, "modal_layers": 1} | settings))
    model.setup(train, RunContext())
    return model.eval()


def _dense(model, train):
    """Nodes and, for each modality, (assignments, latents), with dense matrices."""
    x = train.matrix.toarray().astype(np.float64)
    n = N_USERS + N_ITEMS
    a = np.zeros((n, n))
    a[:N_USERS, N_USERS:] = x
    a += a.T
    degree = a.sum(1)
    scale = np.where(degree > 0, np.maximum(degree, 1) ** -0.5, 0)
    a *= scale[:, None] * scale[None, :]
    ids = propagated(train, numpy(model.table), model.config.layers)
    local, whole, hyper = ids.copy(), np.zeros_like(ids), []
    for place, name in enumerate(model.content.names):
        found = train.features[name]
        values = np.where(found.present[:, None], found.values, 0).astype(np.float64)
        own = x * found.present
        mean = own @ values / np.maximum(own.sum(1, keepdims=True), 1)
        local += _unit(a @ np.concatenate([mean, values]) @ numpy(model.maps[place]).T)
        logits = values @ numpy(model.edges[place]).T
        both = np.concatenate([own @ logits, logits]) / model.config.tau
        held = np.exp(both - both.max(1, keepdims=True))
        held /= held.sum(1, keepdims=True)
        held *= np.concatenate([own.sum(1) > 0, found.present])[:, None]
        latent = held[N_USERS:].T @ ids[N_USERS:]
        hyper.append((held, latent))
        whole += held @ latent
    return local + model.config.alpha * _unit(whole), hyper


def _nce(first, second, rows, among, tau):
    a, b = _unit(first[0] @ first[1]), _unit(second[0] @ second[1])
    logits = a @ b.T / tau
    total = 0.0
    for row in rows:
        if among[row]:
            total += np.log(np.exp(logits[row][among]).sum()) - logits[row, row]
    return total


def test_vectors_and_every_loss_term_equal_the_dense_formulas():
    train = view(absent=(3,))
    model = _model(train, contrast=0.5, reg=0.1)
    final, hyper = _dense(model, train)
    users, items = (numpy(part) for part in model.vectors())
    np.testing.assert_allclose(users, final[:N_USERS], atol=1e-5)
    warm = train.warm_items
    np.testing.assert_allclose(items[warm], final[N_USERS:][warm], atol=1e-5)
    faithful = _model(train, contrast=0.5, reg=0.1, **LGMRec.presets["faithful"])
    assert not warm.all()
    np.testing.assert_allclose(numpy(faithful.vectors()[1]), final[N_USERS:], atol=1e-5)
    assert not np.allclose(items[~warm], final[N_USERS:][~warm], atol=1e-3)

    asked, pos, neg = [0, 1, 1, 2], [4, 5, 3, 4], [1, 2, 6, 0]
    out = model.loss(batch(asked, pos, [[j] for j in neg]))
    u, p, n = final[asked], final[N_USERS:][pos], final[N_USERS:][neg]
    assert out["bpr"].item() == pytest.approx(log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1)), rel=1e-4)
    assert out["reg"].item() == pytest.approx(0.1 * sum(np.linalg.norm(part) for part in (u, p, n)) / 4, rel=1e-4)
    both = train.features["image"].present & train.features["text"].present
    side = [[(held[part], latent) for held, latent in hyper] for part in (slice(None, N_USERS), slice(N_USERS, None))]
    order = [0, 1]
    want = _nce(*(side[0][m] for m in order), asked, np.ones(N_USERS, bool), 0.2)
    want += _nce(*(side[1][m] for m in order), pos, both, 0.2)
    assert out["contrast"].item() * 4 == pytest.approx(want, rel=1e-4)
    assert out["loss"].item() == pytest.approx((out["bpr"] + out["reg"] + 0.5 * 4 * out["contrast"]).item(), rel=1e-5)


def test_contrast_counts_repeats_and_passes_gradients():
    rng = torch.Generator().manual_seed(0)
    held = [torch.rand(6, 3, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    latent = [torch.randn(3, 5, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    rows, among = torch.tensor([0, 2, 2, 5]), torch.tensor([True, True, True, False, True, True])

    def value(*parts):
        return factored_info_nce(parts[:2], parts[2:], rows, among, 0.2)

    parts = (held[0], latent[0], held[1], latent[1])
    dense = _nce(*[(numpy(h), numpy(z)) for h, z in (parts[:2], parts[2:])], rows.tolist(), among.numpy(), 0.2)
    assert value(*parts).item() == pytest.approx(dense, rel=1e-10)
    assert torch.autograd.gradcheck(value, parts)


def test_what_absent_rows_hold_has_no_effect_and_all_parameters_learn():
    train = view(absent=(3,))
    other = view(absent=(3,))
    other.features["image"].values[3] = -123.0
    asked = batch([0, 1, 3], [4, 5, 3], [[1], [2], [6]])
    losses = []
    for one in (train, other):
        model = _model(one, contrast=0.1).train()
        torch.manual_seed(7)
        losses.append(model.loss(asked)["loss"])
    assert losses[0].item() == losses[1].item()
    losses[1].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_evaluation_draws_no_noise():
    model = _model(view())
    assert torch.equal(model.vectors()[1], model.vectors()[1])


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
