"""AlignRec: branches and alignments against dense formulas, ablations, masks and new items."""

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, batch, features, log_sigmoid_loss, numpy, propagated, view

from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.models.match.alignrec import AlignRec


def _model(train, **settings):
    torch.manual_seed(0)
    model = AlignRec(**({"dim": 8, "k": 3, "standardise": False} | settings))
    model.setup(train, RunContext())
    return model


def _layer_norm(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def _near(train, norm, k=3):
    """Cosine k-NN graph of each modality, normalised, mixed .1 to .9; rows that lack one take the other in full."""
    total, mass = np.zeros((N_ITEMS, N_ITEMS)), np.zeros((N_ITEMS, 1))
    for name, share in (("image", 0.1), ("text", 0.9)):
        found = train.features[name]
        own = np.flatnonzero(found.present)
        x = found.values[own].astype(np.float64)
        cos = x @ x.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(x, axis=1)[None, :]
        graph = np.zeros_like(total)
        for place, row in enumerate(own):
            best = np.argsort(-cos[place])[:k]
            graph[row, own[best]] = np.maximum(cos[place, best], 0)
        degree = np.maximum(graph.sum(1), 1e-12)
        graph = (
            graph / degree[:, None] if norm == "row" else graph / np.sqrt(degree[:, None]) / np.sqrt(degree[None, :])
        )
        graph[~found.present] = 0
        total += share * graph
        mass[found.present] += share
    return total / np.maximum(mass, 1e-12)


def _dense(model, train):
    """(ID branch, content branch, q) with dense matrices."""
    ids = numpy(model.table)
    total, count = np.zeros((N_ITEMS, 8)), np.zeros((N_ITEMS, 1))
    for layer, name in zip(model.maps, model.content.names):
        found = train.features[name]
        z = _layer_norm(found.values.astype(np.float64)) @ numpy(layer.weight).T + numpy(layer.bias)
        total += np.where(found.present[:, None], z, 0)
        count += found.present[:, None]
    gate = total / np.maximum(count, 1) @ numpy(model.gate.weight).T + numpy(model.gate.bias)
    q = ids[N_USERS:] / (1 + np.exp(-gate)) * (count > 0)
    items = _near(train, model.config.graph_norm) @ q
    x = train.matrix.toarray().astype(np.float64)
    scale = [np.maximum(x.sum(axis), 1) ** -0.5 for axis in (1, 0)]
    users = (x * scale[0][:, None] * scale[1][None, :]) @ items
    return propagated(train, ids, 2), np.concatenate([users, items]), q


def _nce(a, b, entities, tau):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    logits = a @ b.T / tau
    terms = []
    for row, entity in enumerate(entities):
        others = [c for c, e in enumerate(entities) if c == row or e != entity]
        terms.append(np.log(np.exp(logits[row, others]).sum()) - logits[row, row])
    return np.mean(terms)


@pytest.mark.parametrize("preset", ["faithful", "tuned"])
def test_vectors_and_every_loss_term_equal_the_dense_formulas(preset):
    train = view(absent=(3,))
    model = _model(train, cca=0.3, uia=0.2, similarity=0.4, tau=0.5, reg=0.1, **AlignRec.presets[preset])
    ids, content, q = _dense(model, train)
    final = ids + content
    users, items = (numpy(part) for part in model.vectors())
    np.testing.assert_allclose(users, final[:N_USERS], atol=1e-5)
    np.testing.assert_allclose(items, final[N_USERS:], atol=1e-5)
    asked, pos, neg = [0, 1, 1], [4, 5, 3], [1, 2, 6]
    out = model.loss(batch(asked, pos, [[j] for j in neg]))
    u, p, n = final[asked], final[N_USERS:][pos], final[N_USERS:][neg]
    assert out["bpr"].item() == pytest.approx(log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1)), rel=1e-4)
    nodes = [N_USERS + i for i in pos]
    cca = _nce(content[nodes], ids[nodes], pos, 0.5) + _nce(content[asked], ids[asked], asked, 0.5)
    assert out["cca"].item() == pytest.approx(0.3 * cca, rel=1e-4)
    cosine = (u * p).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(p, axis=1)
    assert out["uia"].item() == pytest.approx(0.2 * (1 - cosine).mean(), rel=1e-4)
    terms, branch = [], content[N_USERS:] if preset == "faithful" else q
    for name in model.content.names:
        kept = [i for i in pos if train.features[name].present[i]]
        x = train.features[name].values[kept].astype(np.float64)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        terms.append(np.linalg.norm(branch[kept] @ branch[kept].T - x @ x.T) / len(kept))
    assert out["similarity"].item() == pytest.approx(0.4 * np.mean(terms), rel=1e-4)
    penalised = final if preset == "faithful" else numpy(model.table)
    rows = penalised[[*asked, *nodes, *(N_USERS + j for j in neg)]]
    assert out["reg"].item() == pytest.approx(0.1 * np.square(rows).sum() / 3 / 2, rel=1e-4)
    assert out["loss"].item() == pytest.approx(sum(out[k].item() for k in ("bpr", "reg", "cca", "uia", "similarity")))


def test_the_presets_differ():
    train = view(absent=(3,))
    faithful, tuned = (_model(train, **AlignRec.presets[name]) for name in ("faithful", "tuned"))
    assert not np.allclose(numpy(faithful.vectors()[1]), numpy(tuned.vectors()[1]))
    default = _model(train)
    assert torch.equal(default.vectors()[1], tuned.vectors()[1]), "ours is the default"


@pytest.mark.parametrize("term", ["cca", "uia", "similarity"])
def test_each_alignment_can_be_left_out(term):
    model = _model(view(), **{term: 0.0})
    assert term not in model.loss(batch([0, 1], [4, 5], [[1], [2]]))


def test_all_parameters_learn_and_absent_rows_have_no_effect():
    train, other = view(absent=(3,)), view(absent=(3,))
    other.features["image"].values[3] = -123.0
    losses = [_model(one).loss(batch([0, 1], [4, 3], [[1], [2]]))["loss"].item() for one in (train, other)]
    assert losses[0] == losses[1]
    model = _model(train)
    model.loss(batch([0, 1], [4, 3], [[1], [2]]))["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_new_items_are_the_mean_of_their_neighbours():
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
    assert torch.equal(after.item_vectors()[:N_ITEMS], before)
    own_group = before[0 : N_ITEMS - 1 : 4]
    assert after.item_vectors()[N_ITEMS].norm() > 0
    weights = torch.linalg.lstsq(own_group.T, after.item_vectors()[N_ITEMS])
    np.testing.assert_allclose(own_group.T @ weights.solution, after.item_vectors()[N_ITEMS], atol=1e-4)
    assert after.scorable()[N_ITEMS] and not after.scorable()[N_ITEMS + 1]
