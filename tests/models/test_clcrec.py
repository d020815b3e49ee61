"""CLCRec against hand-written cross-entropies, its masks, and cold items."""

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, as_users, batch, features, numpy, view

from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.models.match.clcrec import CLCRec
from palate.training.loop import train


def _model(view_, **settings):
    torch.manual_seed(0)
    model = CLCRec(**({"dim": 8, "hidden": 12, "candidates": 0, "standardise": False} | settings))
    model.setup(view_, RunContext())
    return model


def _content(model, view_, rows):
    total, count = 0.0, 0.0
    for name, weight in zip(model.content.names, model.maps):
        found = view_.features[name]
        x, here = found.values[rows].astype(np.float64), found.present[rows][:, None]
        total = total + np.where(here, x / np.linalg.norm(x, axis=1, keepdims=True), 0) @ numpy(weight).T
        count = count + here
    hidden = total * len(model.maps) / np.maximum(count, 1) + numpy(model.bias)
    return np.where(hidden > 0, hidden, 0.01 * hidden) @ numpy(model.out.weight).T + numpy(model.out.bias)


def _cross_entropy(logits, target):
    return np.mean([np.log(np.exp(row).sum()) - row[t] for row, t in zip(logits, target)])


@pytest.mark.parametrize("replaced", [0.0, 1.0])
def test_loss_terms_equal_the_formulas(replaced):
    view_ = view(absent=(3,))
    model = _model(view_, replaced=replaced, share=0.3, tau=0.5, tau_user=0.7, reg=0.2)
    users, items = [0, 1, 2], [3, 5, 9]
    candidates = np.array(items)
    ids, content, u = numpy(model.items)[candidates], _content(model, view_, candidates), numpy(model.users)[users]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (ids, content)]
    out = model.loss(batch(users, items, [[], [], []]))
    assert out["content"].item() == pytest.approx(_cross_entropy(unit[0] @ unit[1].T / 0.5, range(3)), rel=1e-4)
    scores = u @ (content if replaced else ids).T / 0.7
    taken = view_.matrix.toarray()[np.ix_(users, candidates)] > 0
    scores[taken & ~np.eye(3, dtype=bool)] = -np.inf
    assert out["users"].item() == pytest.approx(_cross_entropy(scores, range(3)), rel=1e-4)
    norms = np.linalg.norm(u, axis=1).mean() + np.linalg.norm(ids, axis=1).mean()
    assert out["reg"].item() == pytest.approx(0.2 * norms / 2, rel=1e-4)
    want = 0.3 * out["content"] + 0.7 * out["users"] + out["reg"]
    assert out["loss"].item() == pytest.approx(want.item(), rel=1e-5)


def test_other_items_of_a_user_are_no_negatives():
    view_ = view()
    model = _model(view_)
    users, candidates = torch.arange(N_USERS), torch.arange(N_ITEMS)
    place = torch.from_numpy(view_.history.items[view_.history.indptr[:-1]])
    want = view_.matrix.toarray() > 0
    want[np.arange(N_USERS), place] = False
    np.testing.assert_array_equal(model._others(users, candidates, place), want)


def test_items_without_content_keep_their_id_and_what_their_rows_hold_has_no_effect():
    losses = []
    for filler in (1e6, -5.0):
        view_ = view()
        hidden = np.ones(N_ITEMS, bool)
        hidden[2] = False
        gone = {name: found.mask_rows(hidden) for name, found in view_.features.items()}
        for found in gone.values():
            found.values[2] = filler
        view_ = view_.with_features(gone)
        model = _model(view_, replaced=1.0)
        losses.append(model.loss(batch([0, 2], [4, 2], [[], []])))
    assert losses[0]["loss"].item() == losses[1]["loss"].item()
    losses[1]["loss"].backward()
    assert model.items.grad[2].abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_items_nobody_took_score_by_content_and_new_ones_too():
    view_ = view(cold=4)
    model = _model(view_, candidates=16, epochs=120, lr=0.01, batch_size=24, reg=0.0)
    train(model, view_, RunContext(0, "recall@3"))
    model.eval()
    model.on_fit_end()
    more = {name: features(np.random.default_rng(1), N_ITEMS + 2) for name in ("image", "text")}
    for found in more.values():
        found.present[N_ITEMS + 1] = False
    model.update_items(ItemFeatures.of(more, N_ITEMS + 2))
    scorer = model.scorer()
    assert scorer.scorable()[: N_ITEMS + 1].all() and not scorer.scorable()[N_ITEMS + 1]
    users = as_users(view_, list(range(N_USERS)))
    # the last four items of the table, which nobody took, belong to groups 0..3
    cold = scorer.score(users)[:, N_ITEMS - 4 : N_ITEMS].argmax(1).numpy()
    assert (cold == np.arange(N_USERS) % 4).mean() > 0.9
    warm = torch.from_numpy(view_.warm_items)
    assert torch.equal(scorer.item_vectors()[:N_ITEMS][warm], model.items.detach()[warm])
