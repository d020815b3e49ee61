"""EASE with content: its closed form minimises what it says, and is EASE where nothing is added."""

import numpy as np
import scipy.sparse as sp
import tiny_view
import torch
from tiny_view import RUN

from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.metrics.held_out import validate
from palate.models.match.ease import dense_gram, ease_weights, inverse
from palate.models.match.ease_content import EASEContent
from palate.models.match.ease_content.prior import prior_weights, row_normalised, weighted_gram, widened

X = np.array(
    [[1, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 0, 0, 0, 1]], np.float64
)
S = np.zeros((6, 6))
for i, j, weight in ((0, 1, 0.6), (1, 2, 0.4), (3, 4, 0.9), (4, 5, 0.3)):
    S[i, j] = S[j, i] = weight


def constrained(gram, l2, target):
    """Column by column: ridge towards ``target`` over the other items, the own item left out."""
    n = len(gram)
    b = np.zeros((n, n))
    for j in range(n):
        rest = np.delete(np.arange(n), j)
        left = gram[np.ix_(rest, rest)] + l2 * np.eye(n - 1)
        b[rest, j] = np.linalg.solve(left, gram[rest, j] + l2 * target[rest, j])
    return b


def weighted(power):
    counts = X.sum(1)
    w = counts**-power
    w *= counts.sum() / (w @ counts)
    return X.T @ np.diag(w) @ X


def test_b_solves_the_constrained_ridge_towards_the_prior():
    for l2, prior, power in ((2.0, 0.3, 0.5), (0.7, 1.0, 0.0), (5.0, 0.1, 1.0)):
        gram = weighted_gram(sp.csr_array(X.astype(np.float32)), power)
        np.testing.assert_allclose(gram, weighted(power), atol=1e-5)
        found = prior_weights(inverse(gram, l2), sp.csr_array(S, dtype=np.float32), l2, prior).double().numpy()
        np.testing.assert_allclose(found, constrained(weighted(power), l2, prior * S), atol=2e-5)
        assert (np.diag(found) == 0).all()


def test_b_is_a_minimum_of_the_objective():
    gram, l2, prior = weighted(0.5), 2.0, 0.3
    graph = sp.csr_array(S, dtype=np.float32)
    found = prior_weights(inverse(gram.astype(np.float32), l2), graph, l2, prior).double().numpy()

    def objective(b):
        apart = np.eye(6) - b
        return np.trace(apart.T @ gram @ apart) + l2 * np.square(b - prior * S).sum()

    rng = np.random.default_rng(0)
    for _ in range(50):
        step = rng.normal(0, 0.05, (6, 6))
        np.fill_diagonal(step, 0)
        assert objective(found + step) > objective(found)


def test_without_prior_widening_and_weights_it_is_ease():
    train = tiny_view.view()
    model = EASEContent(l2=3.0, prior=0.0, widen=0.0, power=0.0, k=3)
    model.setup(train, RunContext())
    assert model.solve(train, RUN)
    expected = ease_weights(dense_gram(train.matrix), 3.0)
    torch.testing.assert_close(model.get_buffer("weights"), expected, atol=1e-5, rtol=1e-4)


def test_widening_lends_a_history_its_content_neighbours():
    wide = row_normalised(sp.csr_array(S, dtype=np.float32))
    np.testing.assert_allclose(wide.sum(axis=1), np.ones(6), atol=1e-6)
    b = torch.from_numpy(constrained(weighted(0.0), 1.0, 0 * S).astype(np.float32))
    scores = torch.from_numpy(X.astype(np.float32)) @ widened(b, wide, 0.4)
    by_hand = (X + 0.4 * X @ (S / S.sum(1, keepdims=True))) @ b.double().numpy()
    np.testing.assert_allclose(scores.numpy(), by_hand, atol=1e-5)


def test_settings_not_given_are_chosen_on_validation():
    train = tiny_view.view()
    model = EASEContent(k=3, power=0.5, widen=0.3, l2_grid=(500.0, 1.0, 0.01), prior_grid=(0.5, 0.0))
    model.setup(train, RunContext())
    model.solve(train, RUN)
    chosen = model.selected_settings()
    assert (chosen["power"], chosen["widen"]) == (0.5, 0.3)

    def valid(**settings):
        single = EASEContent(k=3, **settings)
        single.setup(train, RunContext())
        single.solve(train, RUN)
        return validate(single.scorer(), train.valid, "recall@3")

    assert valid(**chosen) == max(valid(**{**chosen, "prior": value}) for value in (0.5, 0.0))
    assert valid(**chosen) >= valid(l2=500.0, power=0.5, prior=0.5, widen=0.3)


def test_a_new_item_gets_the_mean_of_its_neighbours():
    train = tiny_view.view(absent=())
    model = EASEContent(l2=3.0, prior=0.2, widen=0.0, power=0.5, k=2)
    model.setup(train, RunContext())
    model.solve(train, RUN)
    twin = {
        name: type(f)(np.concatenate([f.values, f.values[:1]]), np.append(f.present, True))
        for name, f in train.features.items()
    }
    model.update_items(ItemFeatures.of(twin, tiny_view.N_ITEMS + 1))
    scorer = model.scorer()
    assert scorer.n_items == tiny_view.N_ITEMS + 1 and scorer.scorable()[-1]
    scores = scorer.score(tiny_view.as_users(train, [0, 1, 2, 3]))[:, -1]
    assert int(scores.argmax()) == 0, "users of group 0 get the twin of item 0"
