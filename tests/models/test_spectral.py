import numpy as np
import pytest
from tiny_view import N_ITEMS, N_USERS, RUN, as_users, numpy, view

from palate.core.batch import RaggedArray, UserBatch
from palate.core.context import RunContext
from palate.metrics.held_out import validate
from palate.models.match.spectral import Spectral


def solved(train=None, **settings):
    model, train = Spectral(**settings), train or view()
    model.setup(train, RunContext())
    assert model.solve(train, RUN)
    return model


def normalised(train, damping=0.0):
    r = train.matrix.toarray().astype(np.float64)
    d_u, d_i = r.sum(1, keepdims=True), r.sum(0)
    d_u, d_i = (d + damping * d.mean() for d in (d_u, d_i))
    return r / np.sqrt(d_u.clip(1)) / np.sqrt(d_i.clip(1)), d_i.clip(1)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("popularity", "damping"), [(0.0, 0.0), (0.5, 0.0), (0.5, 2.0)])
def test_scores_are_the_filtered_interactions(power, popularity, damping):
    train = view()
    r, takers = normalised(train, damping)
    _, s, vt = np.linalg.svd(r)
    dim = 4  # one direction a group: the gap to the next is wide
    wanted = (train.matrix.toarray() / np.sqrt(takers)) @ vt[:dim].T * s[:dim] ** power @ vt[:dim] * takers**popularity
    model = solved(train, dim=dim, filter=power, popularity=popularity, damping=damping, rounds=30)
    users = as_users(train, list(range(N_USERS)))
    np.testing.assert_allclose(numpy(model.scorer().score(users)), wanted, atol=1e-4)


def test_all_directions_with_one_more_propagation_are_three_products():
    train = view()
    r, takers = normalised(train)
    wanted = np.sqrt(train.matrix.toarray().sum(1, keepdims=True)) * (r @ r.T @ r) * np.sqrt(takers)
    found = (
        solved(train, dim=N_ITEMS, filter=2.0, popularity=0.5, damping=0.0).scorer().score(as_users(train, [0, 5, 9]))
    )
    np.testing.assert_allclose(numpy(found), wanted[[0, 5, 9]], atol=1e-5)


def test_a_visitor_with_the_same_history_gets_the_same_scores():
    train = view()
    scorer = solved(train, dim=4, filter=0.0, popularity=0.5).scorer()
    known = as_users(train, [7])
    visitor = UserBatch(np.array([-1]), RaggedArray.of([known.history.items.tolist()]))
    np.testing.assert_array_equal(scorer.score(known), scorer.score(visitor))
    assert not scorer.scorable()[-1]


def test_what_it_chooses_is_best_on_validation():
    train = view()
    grid = {"dim_grid": (1, 4), "filter_grid": (0.0, 2.0), "popularity_grid": (0.5,)}
    chosen = solved(train, **grid).selected_settings()
    tried = {
        (dim, power): validate(solved(train, dim=dim, filter=power, popularity=0.5).scorer(), train.valid, RUN.metric)
        for dim in (1, 4)
        for power in (0.0, 2.0)
    }
    assert tried[chosen["dim"], chosen["filter"]] == max(tried.values()) and chosen["popularity"] == 0.5
