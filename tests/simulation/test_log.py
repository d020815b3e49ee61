"""The log follows its policy and its click model, and the truth knows both."""

import numpy as np
import pytest

from palate.core.errors import DataError
from palate.simulation import World
from palate.simulation.choice import click_chance
from palate.simulation.log import DAY


@pytest.fixture(scope="module")
def world():
    return World.make(
        n_users=600, n_items=200, media=False, seed=5, interactions_per_user=60, policy=(0.4, 0.1, 0.2, 0.3)
    )


@pytest.fixture(scope="module")
def seen(world):
    """Impressions as row numbers and numbers."""
    (_, block), *more = world.blocks()
    assert not more
    rows = dict(block.impressions)
    rows["day"] = (rows["timestamp"] - world.config.start) // DAY
    rows["time"] = (rows["timestamp"] - world.config.start) / (world.config.days * DAY)
    return rows


def test_propensities_are_a_distribution(world):
    users, days = np.arange(40)[:, None, None], np.array([0, 50, 95, 119])[None, :, None]
    chance = world.truth.propensity(users, np.arange(200)[None, None], days)
    np.testing.assert_allclose(chance.sum(-1), 1, atol=1e-9)
    on_sale = world.items.arrival[None, None] <= days
    assert ((chance > 0) == np.broadcast_to(on_sale, chance.shape)).all()


def test_kept_propensity_is_the_policys(world, seen):
    again = world.truth.propensity(seen["user"], seen["item"], seen["day"])
    np.testing.assert_allclose(seen["propensity"], again, rtol=1e-5)
    assert (seen["propensity"] > 0).all()


def test_items_are_drawn_as_often_as_propensities_say(world):
    users = world.users
    bound = world.truth.policy.bind(users)
    draws, rng = 200_000, np.random.default_rng(0)
    for user, day in ((3, 5), (17, 110)):
        who, when = np.full(draws, user), np.full(draws, day)
        count = np.bincount(bound.sample(who, when, rng), minlength=200)
        expected = draws * bound.propensity(np.array(user), np.arange(200), np.array(day))
        there = expected > 0
        assert not count[~there].any()
        chi = ((count - expected)[there] ** 2 / expected[there]).sum()
        assert chi < there.sum() + 5 * np.sqrt(2 * there.sum())


def test_importance_weights_recover_the_click_rate_of_a_uniform_policy(world, seen):
    on_sale = world.truth.policy.on_sale[seen["day"]]
    weighted = seen["clicked"] / (on_sale * seen["propensity"].astype(float))
    visits = np.unique(seen["impression"], return_index=True)[1]
    visits = np.random.default_rng(0).choice(visits, 2000, replace=False)
    user, day, time = (seen[name][visits] for name in ("user", "day", "time"))
    items = np.arange(200)[None]
    there = items < world.truth.policy.on_sale[day][:, None]
    like = world.truth.relevance(user[:, None], items, time[:, None])
    chance = np.mean([click_chance(like, place, world.config) for place in range(world.config.slate)], axis=0)
    by_visit = (chance * there).sum(1) / there.sum(1)
    total = by_visit.mean()
    error = np.hypot(weighted.std() / np.sqrt(len(weighted)), by_visit.std() / np.sqrt(len(by_visit)))
    assert abs(weighted.mean() - total) < 3 * error
    naive = seen["clicked"].mean()
    assert abs(naive - total) > 6 * error  # the logging policy is far from uniform: weighting is needed


def test_clicks_follow_p_click(world, seen):
    chance = world.truth.p_click(seen["user"], seen["item"], seen["position"], seen["time"])
    assert chance.min() >= 0 and chance.max() <= 1
    for part in (chance < 0.02, (chance >= 0.02) & (chance < 0.3), chance >= 0.3):
        spread = np.sqrt((chance[part] * (1 - chance[part])).sum())
        assert abs(seen["clicked"][part].sum() - chance[part].sum()) < 4 * spread


def test_position_bias_is_recovered(world, seen):
    """Items do not depend on the position, so click rates by position show attention (and a little trust)."""
    slate = world.config.slate
    shown = np.bincount(seen["position"], minlength=slate)
    rate = np.bincount(seen["position"], seen["clicked"], slate) / shown
    curve, truth = rate / rate[0], world.truth.examination(np.arange(slate))
    error = np.sqrt(1 / (rate * shown) + 1 / (rate[0] * shown[0])) * curve
    trust = world.config.trust / rate[0]
    assert (np.abs(curve - truth) < 4 * error + trust).all()
    assert truth[0] == 1 and (np.diff(truth) < 0).all()


def test_nothing_is_shown_before_it_arrives(world, seen):
    assert (world.items.arrival[seen["item"]] <= seen["day"]).all()
    late = world.items.arrival > 0
    assert abs(late.mean() - world.config.new_items) < 0.01
    assert world.items.arrival[late].min() >= world.config.days * (1 - world.config.new_from)
    assert len(np.unique(seen["item"][late[seen["item"]]])) > 0.8 * late.sum()


def test_size_is_met(world):
    assert abs(len(world.interactions) / (600 * 60) - 1) < 0.15


def test_value_of_users_matches_what_they_spend(world):
    """Over all sessions, expected spending equals paid prices within sampling error."""
    (_, block), *_ = world.blocks()
    visits = np.bincount(block.impressions["user"][:: world.config.slate], minlength=600)
    expected = (world.truth.user_values(np.arange(600), time=0.5) * visits).sum()
    paid = block.interactions["value"][block.interactions["event"] == 3].astype(float)
    error = np.sqrt((paid**2).sum())
    assert abs(paid.sum() - expected) < 4 * error + 0.1 * expected  # drift and arrivals: one moment stands for all


def test_funnel_is_ordered(world):
    table = world.interactions
    users_items = {event: set(table.filter(event=event).select("user_id", "item_id").rows()) for event in
                   ("click", "save", "cart", "purchase")}  # fmt: skip
    assert users_items["purchase"] < users_items["cart"] < users_items["click"]
    assert users_items["save"] < users_items["click"]
    assert table.filter(event="click")["dwell"].null_count() == 0
    assert table.filter(event="purchase")["value"].min() > 0
    assert table.filter(event="cart")["value"].null_count() == len(table.filter(event="cart"))


def test_oracle_ranks_clicked_above_shown(world, seen):
    taste = world.truth.oracle_scores(np.arange(600), kind="taste", span=(0.0, 1.0))
    scores = taste[seen["user"], seen["item"]]
    clicked = seen["clicked"]
    order = scores.argsort().argsort()
    auc = (order[clicked].sum() - clicked.sum() * (clicked.sum() - 1) / 2) / (clicked.sum() * (~clicked).sum())
    assert auc > 0.85
    logged = world.truth.oracle_scores(np.arange(600), kind="logged")
    count = np.zeros((600, 200))
    np.add.at(count, (seen["user"][clicked], seen["item"][clicked]), 1)
    users = count.sum(1) > 0
    best = {name: np.take_along_axis(count, (-s).argsort(1)[:, :20], 1).sum(1)[users] / count.sum(1)[users]
            for name, s in (("taste", taste), ("logged", logged))}  # fmt: skip
    assert best["logged"].mean() > best["taste"].mean() > 3 * 20 / 200


def test_unknown_rows_are_refused(world):
    with pytest.raises(DataError, match="item rows"):
        world.truth.relevance([0], [200])


def test_demographics_go_with_activity_and_taste():
    users = World.make(n_users=8000, n_items=60, media=False).population.block(0)
    active = [users.activity[users.age == a].mean() for a in range(5)]
    assert max(active) > 1.2 * min(active)
    first = np.stack(
        [np.bincount(users.interest[users.age == a, 0], minlength=6) / (users.age == a).sum() for a in range(5)]
    )
    assert np.abs(first - first.mean(0)).max() > 0.05


def test_without_effect_taste_does_not_follow_content():
    """No effect of content: taste must not follow what the catalogue says, yet the log is the same to the bit."""
    same = dict(n_users=200, n_items=200, media=False, seed=5)
    plain, shuffled = World.make(**same), World.make(**same, no_effect=True)
    (_, one), (_, two) = next(plain.blocks()), next(shuffled.blocks())
    for name in one.interactions:
        np.testing.assert_array_equal(one.interactions[name], two.interactions[name])
    likes = plain.truth.oracle_scores(np.arange(200), kind="taste")
    centred = likes - likes.mean(0)
    across = {name: w.items.leaf[w.items.content] // 4 for name, w in (("plain", plain), ("shuffled", shuffled))}

    def explained(category):
        means = np.stack([centred[:, category == c].mean(1) for c in range(6)], 1)
        return (means[:, category] ** 2).sum() / (centred**2).sum()

    assert explained(across["plain"]) > 0.15
    assert explained(across["shuffled"]) < 0.06
