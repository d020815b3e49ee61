"""Position and duration bias: hand-computed cases, and estimates against the truth of simulated worlds."""

import numpy as np
import pytest

from palate.core.errors import ConfigError, DataError
from palate.metrics.bias import (
    DurationQuantiles,
    examination_by_propensity,
    fit_position_model,
    unbiased_auc,
    unbiased_log_loss,
)
from palate.metrics.rating import auc, logloss
from palate.simulation import World
from palate.simulation.contexts import CODES
from palate.simulation.log import DAY


@pytest.fixture(scope="module")
def ads():
    """Impressions of a world of advertisements, and the relevance of each."""
    world = World.make("ads", seed=7, n_users=3500, n_items=150, interactions_per_user=7, media=False)
    parts = [block.impressions for _, block in world.blocks()]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    time = (rows["timestamp"] - world.config.start) / (world.config.days * DAY)
    rows["relevance"] = world.truth.relevance(rows["user"], rows["item"], time, {n: rows[n] for n in CODES})
    return world, rows


def test_examination_by_propensity_by_hand():
    found = examination_by_propensity([1, 0, 1, 0], [0, 0, 1, 1], [0.5, 0.25, 0.25, 0.5])
    assert found.tolist() == [1.0, 2.0]  # (1 / .5) / 2 and (1 / .25) / 2
    assert examination_by_propensity([1, 1, 1, 0], [0, 0, 1, 1]).tolist() == [1.0, 0.5]
    assert examination_by_propensity([1, 0, 1, 0], [0, 0, 1, 1], [0.5, 0.25, 0.25, 0.5], clip=0.5).tolist() == [
        1.0,
        1.0,
    ]


def log_of(examination, relevance, each=1000):
    """A log without noise: every pair at every position ``each`` times."""
    clicks, positions, pairs = [], [], []
    for place, e in enumerate(examination):
        for pair, r in enumerate(relevance):
            clicked = round(each * e * r)
            clicks += [1] * clicked + [0] * (each - clicked)
            positions += [place] * each
            pairs += [pair] * each
    return np.array(clicks), np.array(positions), np.array(pairs)


def test_position_model_recovers_a_log_without_noise():
    clicks, positions, pairs = log_of([1.0, 0.5, 0.25], [0.4, 0.2, 0.08])
    model = fit_position_model(clicks, positions, pairs, max_iterations=5000, tolerance=1e-12)
    np.testing.assert_allclose(model.examination, [1.0, 0.5, 0.25], atol=2e-3)
    np.testing.assert_allclose(model.relevance, [0.4, 0.2, 0.08], atol=2e-3)
    rates = np.array([[400, 200, 100], [200, 100, 50], [80, 40, 20]]) / 1000
    best = (1000 * (rates * np.log(rates) + (1 - rates) * np.log(1 - rates))).sum()
    assert model.log_likelihood == pytest.approx(best, abs=0.05) and model.weights is None


def test_position_model_with_features_needs_no_pair_twice():
    rng = np.random.default_rng(0)
    features, positions = rng.normal(size=(25_000, 2)), rng.integers(0, 3, 25_000)
    # the policy puts what is liked at the top
    features[:, 0] -= positions
    relevance = 1 / (1 + np.exp(-(features @ [1.0, -0.5] + 0.2)))
    examination = np.array([0.95, 0.5, 0.3])
    clicks = rng.random(25_000) < examination[positions] * relevance
    model = fit_position_model(clicks, positions, features=features)
    np.testing.assert_allclose(model.examination, examination / 0.95, atol=0.05)
    naive = np.bincount(positions, clicks) / np.bincount(positions)
    assert naive[2] / naive[0] < 0.6 * examination[2] / 0.95
    assert np.corrcoef(model.relevance, relevance)[0, 1] > 0.99 and model.weights.shape == (3,)


def test_estimates_recover_the_examination_of_a_world(ads):
    world, rows = ads
    truth = world.truth.examination(np.arange(6))
    rate = np.bincount(rows["position"], rows["clicked"]) / np.bincount(rows["position"])
    naive = np.abs(rate / rate[0] / truth - 1)
    weighted = np.abs(examination_by_propensity(rows["clicked"], rows["position"], rows["propensity"]) / truth - 1)
    # what the policy looks at: the item, and whether the session wants its leaf
    leaf = world.items.leaf[rows["item"]]
    near = (leaf == rows["wanted"]).astype(int) + (leaf // 4 == rows["wanted"] // 4)
    model = fit_position_model(rows["clicked"], rows["position"], rows["item"] * 3 + near)
    assert naive[3:].min() > 0.2
    values = rows["clicked"] / rows["propensity"].astype(float)
    parts = [values[rows["position"] == place] for place in range(6)]
    spread = np.array([part.std() / part.mean() / np.sqrt(len(part)) for part in parts])
    assert (weighted <= 3 * np.hypot(spread, spread[0])).all() and spread.max() < 0.1
    assert np.abs(model.examination / truth - 1).max() < 0.1


def test_unbiased_auc_by_hand():
    # y = 2, 0, 0: the pairs of the first with the others, one won and one lost
    assert unbiased_auc([1, 0, 0], [2.0, 1.0, 3.0], [0.5, 1.0, 1.0]) == pytest.approx(0.5)
    assert unbiased_auc([1, 0, 0], [2.0, 2.0, 1.0], [0.5, 1.0, 1.0]) == pytest.approx(0.75)
    # weights 1, 3, 1: (2 * 3 * 1 + 2 * 1 * 0) / 8
    assert unbiased_auc([1, 0, 0], [2.0, 1.0, 3.0], [0.5, 1, 1], [1.0, 3.0, 1.0]) == pytest.approx(0.75)


def test_unbiased_metrics_are_the_plain_ones_where_all_is_examined():
    rng = np.random.default_rng(1)
    clicks, scores = rng.random(500) < 0.3, np.round(rng.random(500), 1) * 0.9 + 0.05
    assert unbiased_auc(clicks, scores, np.ones(500)) == pytest.approx(auc(clicks, scores))
    assert unbiased_log_loss(clicks, scores, np.ones(500)) == pytest.approx(logloss(clicks, scores))


def test_unbiased_log_loss_by_hand():
    # -2 ln .8 + ln .2 and -ln .6
    found = unbiased_log_loss([1, 0], [0.8, 0.4], [0.5, 1.0])
    assert found == pytest.approx((-2 * np.log(0.8) + np.log(0.2) - np.log(0.6)) / 2)
    assert unbiased_log_loss([1, 0], [0.8, 0.4], [0.5, 1.0], [0.0, 2.0]) == pytest.approx(-np.log(0.6))


def test_unbiased_metrics_are_those_of_relevance(ads):
    """A score that knows positions gains clicks and no relevance; weighting sees through it."""
    world, rows = ads
    relevance, clicked, place = rows["relevance"], rows["clicked"], rows["position"]
    examined = world.truth.examination(place)
    honest = world.truth.relevance(rows["user"], rows["item"], 0.5)
    shifted = np.clip(honest * examined**2, 1e-4, 1)
    truth = {}
    for name, score in (("honest", honest), ("shifted", shifted)):
        order = np.argsort(score, kind="stable")
        below = np.cumsum(1 - relevance[order]) - (1 - relevance[order]) / 2
        truth[name] = (relevance[order] * below).sum() / (relevance.sum() * (1 - relevance).sum())
        assert unbiased_auc(clicked, score, examined) == pytest.approx(truth[name], abs=0.012)
        loss = np.mean(-relevance * np.log(score) - (1 - relevance) * np.log1p(-np.minimum(score, 1 - 1e-9)))
        assert unbiased_log_loss(clicked, score, examined) == pytest.approx(loss, abs=0.012)
    assert auc(clicked, shifted) > auc(clicked, honest) + 0.005
    assert truth["honest"] > truth["shifted"] + 0.005
    assert unbiased_auc(clicked, honest, examined) > unbiased_auc(clicked, shifted, examined)


def test_duration_quantiles_by_hand():
    durations, watched = np.repeat([10.0, 100.0], 5), np.array([1, 2, 3, 4, 5, 10, 20, 30, 40, 50.0])
    fitted = DurationQuantiles.fit(durations, watched, groups=2)
    assert fitted.edges.shape == (1,) and 10 < fitted.edges[0] <= 100
    np.testing.assert_allclose(fitted.labels(durations, watched), np.tile([0, 0.25, 0.5, 0.75, 1], 2), atol=1e-9)
    np.testing.assert_allclose(fitted.watch_times(durations, np.tile([0, 0.25, 0.5, 0.75, 1], 2)), watched)
    assert fitted.labels([10.0, 200.0], [99.0, 0.0]).tolist() == [1.0, 0.0]
    assert fitted.watch_times([10.0, 5.0], [1.7, -1.0]).tolist() == [5.0, 1.0]


def test_equal_watch_times_share_the_middle_of_their_quantiles():
    fitted = DurationQuantiles.fit(np.ones(6), [0.0, 0, 0, 1, 2, 3], groups=4)
    assert fitted.edges.size == 0
    assert fitted.labels([1.0], [0.0])[0] == pytest.approx(0.2, abs=0.01)


def test_duration_quantiles_follow_liking_better_than_dwell():
    world = World.make("news", seed=5, n_users=1500, n_items=300, media=False)
    (_, block), *_ = world.blocks()
    rows = block.impressions
    at = np.flatnonzero(rows["clicked"])
    long, dwell = world.items.reading[rows["item"][at]], rows["dwell"][at]
    liked = world.truth.relevance(rows["user"][at], rows["item"][at], 0.5)
    labels = DurationQuantiles.fit(long, dwell).labels(long, dwell)

    def ranks(values):
        return np.argsort(np.argsort(values))

    def agreement(values, other):
        return np.corrcoef(ranks(values), ranks(other))[0, 1]

    assert agreement(labels, liked) > agreement(dwell, liked) + 0.07
    assert agreement(dwell, long) > 0.5 and abs(agreement(labels, long)) < 0.05


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: examination_by_propensity([1, 2], [0, 1]), "neither 0 nor 1"),
        (lambda: examination_by_propensity([1, 0], [0, -1]), "below 0"),
        (lambda: examination_by_propensity([1, 0], [0, 2]), "never shown"),
        (lambda: examination_by_propensity([0, 1], [0, 1]), "never clicked"),
        (lambda: examination_by_propensity([1, 0], [0, 1], [0.5, 0.0]), "propensity lies outside"),
        (lambda: examination_by_propensity([1, 0], [0, 1], [0.5]), "both need"),
        (lambda: fit_position_model([0, 0], [0, 1], [0, 0]), "no clicks"),
        (lambda: fit_position_model([1, 0], [0, 1], [0]), "both need"),
        (lambda: fit_position_model([1, 0], [0, 1], features=[[np.nan], [1]]), "not finite"),
        (lambda: fit_position_model([1, 0], [0, 1], features=[1.0, 2.0]), "they need"),
        (lambda: unbiased_auc([1, 0], [1.0, 2.0], [0.5, 1.5]), "examination"),
        (lambda: unbiased_auc([1, 0], [1.0, 2.0], [0.5]), "examination"),
        (lambda: unbiased_auc([1, 0], [1.0, 2.0], [0.5, 1], [-1, 1]), "weights"),
        (lambda: unbiased_auc([0, 0], [1.0, 2.0], [0.5, 1]), "no relevant"),
        (lambda: unbiased_log_loss([1, 0], [1.0, 2.0], [0.5, 1]), "outside"),
        (lambda: unbiased_log_loss([1, 0], [1.0, 0.0], [0.5, 1], [0, 0]), "weights"),
        (lambda: DurationQuantiles.fit([1.0], [np.nan]), "watched"),
        (lambda: DurationQuantiles.fit([], []), "no events"),
        (lambda: DurationQuantiles.fit([1.0], [1.0, 2.0]), "both need"),
    ],
)
def test_bad_logs_are_named(call, named):
    with pytest.raises(DataError, match=named):
        call()


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match="groups"):
        DurationQuantiles.fit([1.0], [1.0], groups=0)
    with pytest.raises(ConfigError, match="pairs"):
        fit_position_model([1, 0], [0, 1])
