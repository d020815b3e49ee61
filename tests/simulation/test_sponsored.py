"""The world of advertisements: campaigns, contexts, positions that are no accident, purchases, pictures by region."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import palate
from palate.core.errors import ConfigError
from palate.metrics.rating import auc
from palate.simulation import Truth, World
from palate.simulation.contexts import CODES
from palate.simulation.log import DAY
from palate.simulation.pictures import CELLS, HUES

SMALL = dict(n_items=90, n_users=60, image_size=64)


@pytest.fixture(scope="module")
def world():
    return World.make("ads", seed=5, n_users=1500, n_items=300, media=False)


@pytest.fixture(scope="module")
def seen(world):
    """Impressions as row numbers and numbers, with the chance of a click."""
    (_, block), *more = world.blocks()
    assert not more
    rows = dict(block.impressions)
    rows["day"] = (rows["timestamp"] - world.config.start) // DAY
    rows["time"] = (rows["timestamp"] - world.config.start) / (world.config.days * DAY)
    rows["context"] = {name: rows[name] for name in CODES}
    rows["chance"] = world.truth.p_click(rows["user"], rows["item"], rows["position"], rows["time"], rows["context"])
    return rows


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    world = World.make("ads", seed=1, **SMALL)
    return world, world.write(tmp_path_factory.mktemp("ads") / "w")


def test_clicks_follow_p_click(seen):
    chance, clicked = seen["chance"], seen["clicked"]
    for part in (chance < 0.02, (chance >= 0.02) & (chance < 0.2), chance >= 0.2):
        spread = np.sqrt((chance[part] * (1 - chance[part])).sum())
        assert abs(clicked[part].sum() - chance[part].sum()) < 4 * spread


def test_click_rates_are_those_of_advertisements(seen):
    rates = [seen["clicked"][seen["position"] == place].mean() for place in range(6)]
    assert 0.01 < rates[-1] < rates[0] < 0.16 and (np.diff(rates) < 0).all()
    assert 0.03 < seen["clicked"].mean() < 0.1


def test_examination_is_a_pure_position_model(world):
    """Without trust, P(click) at a position is its examination times P(click) at the first."""
    users, items = np.arange(20)[:, None], np.arange(30)[None]
    first = world.truth.p_click(users, items, 0)
    for place in range(6):
        np.testing.assert_allclose(world.truth.p_click(users, items, place), first * (1 + place) ** -0.7)


def test_kept_propensities_are_the_policys_and_sum_to_one(world, seen):
    again = world.truth.propensity(seen["user"], seen["item"], seen["day"], seen["position"], seen["wanted"])
    np.testing.assert_allclose(seen["propensity"], again, rtol=1e-5)
    rows = np.arange(0, len(seen["user"]), 997)[:, None]
    chance = world.truth.propensity(
        seen["user"][rows], np.arange(300)[None], seen["day"][rows], seen["position"][rows], seen["wanted"][rows]
    )
    np.testing.assert_allclose(chance.sum(axis=1), 1, atol=1e-9)


def test_propensity_without_a_context_is_its_mean(world):
    """What a user may want has the probabilities of the user's interests."""
    items, leaves = np.arange(300)[None, :, None], np.arange(24)[None, None, :]
    each = world.truth.propensity(np.array([3, 8])[:, None, None], items, 10, 2, leaves)
    chances = world.users.take(np.array([3, 8])).leaf_chances()
    mean = (each * chances[:, None, :]).sum(axis=2)
    np.testing.assert_allclose(world.truth.propensity(np.array([3, 8])[:, None], np.arange(300)[None], 10, 2), mean)


def test_favourites_stand_at_the_top(seen):
    """Relevance falls with the position, so that click rates by position exaggerate examination."""
    relevance = seen["chance"] * (1.0 + seen["position"]) ** 0.7
    means = [relevance[seen["position"] == place].mean() for place in range(6)]
    assert means[0] > 1.3 * means[-1]


def test_context_matters(world, seen):
    without = world.truth.p_click(seen["user"], seen["item"], seen["position"], seen["time"])
    assert auc(seen["clicked"], seen["chance"]) > auc(seen["clicked"], without) + 0.01
    with pytest.raises(ConfigError, match="context"):
        World.make("shop", n_items=60, n_users=5, media=False).truth.relevance([0], [0], 1.0, seen["context"])


def test_campaigns_share_what_is_offered_and_not_how_it_looks(world):
    items, schema = world.items, world.items.schema
    founder = items.campaign
    assert (founder[founder] == founder).all() and (items.arrival[founder] == 0).all()
    for name in ("material", "purpose", "service"):
        column = schema.column(name)
        assert (items.codes[:, column] == items.codes[founder, column]).all()
    assert (items.leaf == items.leaf[founder]).all() and (items.brand == items.brand[founder]).all()
    later = founder != np.arange(300)
    assert abs((items.codes[later, 0] == items.codes[founder[later], 0]).mean() - 1 / 8) < 0.08


def test_components_lift(world):
    count = world.items.present["detail"].astype(int) + world.items.present["sitelinks"]
    by_brand = world.items.lift - world.config.sponsored.component * count
    for brand in np.unique(world.items.brand):
        assert np.ptp(by_brand[world.items.brand == brand]) < 1e-5
    assert by_brand.std() > 0.1


def test_purchases_follow_clicks_with_a_delay(seen):
    bought = seen["purchased"]
    assert not (bought & ~seen["clicked"]).any() and 0.02 < bought.sum() / seen["clicked"].sum() < 0.2
    assert (seen["purchase_time"][~bought] == 0).all()
    delay = (seen["purchase_time"] - seen["timestamp"])[bought] / DAY
    assert delay.min() > 0 and abs(delay.mean() - 1.5) < 4 * 1.5 / np.sqrt(bought.sum())


def test_oracle_ranks_by_what_was_clicked(world, seen):
    """The mean over drawn contexts orders pairs of user and item by their clicks, better than taste alone."""
    users = np.arange(400)
    logged = world.truth.oracle_scores(users, kind="logged")
    np.testing.assert_array_equal(world.truth.oracle_scores([7, 3]), logged[[7, 3]])
    count = np.zeros((400, 300))
    mine = seen["clicked"] & (seen["user"] < 400)
    np.add.at(count, (seen["user"][mine], seen["item"][mine]), 1)
    some = count.sum(axis=1) > 0
    taste = world.truth.oracle_scores(users, kind="taste")
    hits = {
        name: np.take_along_axis(count, (-scores).argsort(axis=1)[:, :20], axis=1).sum(axis=1)[some].mean()
        for name, scores in (("logged", logged), ("taste", taste))
    }
    assert hits["logged"] > hits["taste"] > 2 * count[some].sum(axis=1).mean() * 20 / 300


def test_the_telling_region_differs_by_category():
    """The hue of the item is in the cell of its category, and in another cell only by chance."""
    world = World.make("ads", seed=2, n_items=240, n_users=5)
    hues, column = np.array(list(HUES.values())), world.items.schema.column("colour")
    right = np.zeros((2, 6))
    for row in range(240):
        category = int(world.items.category[row])
        pixels = np.asarray(world.picture(row, 64).convert("HSV"), np.float64) / 255
        for at, cell in enumerate((category, (category + 1) % 6)):
            x, y = (int((c + 1) * 32) for c in CELLS[cell])
            patch = pixels[max(y - 6, 0) : y + 6, max(x - 6, 0) : x + 6]
            vivid = patch[..., 1] > 0.5
            hue = np.median(patch[..., 0][vivid]) if vivid.any() else 0.0
            gap = np.abs((hue - hues + 0.5) % 1 - 0.5)
            right[at, category] += gap.argmin() == world.items.shown["image"][row, column]
    shown = np.bincount(world.items.category, minlength=6)
    assert (right[0] / shown > 0.6).all()
    assert right[1].sum() / 240 < 0.25


def test_close_ups_show_pattern_and_colour_not_the_shape(written):
    world, _ = written
    assert world.detail(0).size == (64, 64)
    assert "shape" not in world.items.schema.visibility["detail"]
    with pytest.raises(ConfigError, match="close-ups"):
        World.make("shop", n_items=60, n_users=5).detail(0)


def test_written_and_read(written):
    world, folder = written
    data = palate.load(folder)
    assert set(data.items.modalities) == {"text", "image", "attributes"} and data.interactions.has("impression")
    events = data.select_view().events
    assert set(events.context) == {"page", "device", "slot", "hour", "query"}
    assert events.position.max() == 5 and np.nanmin(events.propensity) > 0
    table = pl.read_parquet(folder / "items.parquet")
    assert {"advertiser", "campaign", "bid", "detail", "sitelinks"} <= set(table.columns)
    for name in ("detail", "sitelinks"):
        assert (table[name].is_not_null().to_numpy() == world.items.present[name]).all()
    assert all((folder / path).is_file() for path in table["detail"].drop_nulls())


def test_clicks_of_a_written_log_can_be_known(written):
    world, folder = written
    truth, shown = Truth.load(folder), pl.read_parquet(folder / "impressions.parquet")
    contexts = pl.read_parquet(folder / "truth" / "contexts.parquet")
    assert contexts["impression_id"].n_unique() * 6 == len(shown)
    joined = shown.join(contexts.select("impression_id", *CODES), on="impression_id", how="left", suffix="_code")
    codes = {n: joined[f"{n}_code" if f"{n}_code" in joined.columns else n].to_numpy() for n in CODES}
    (_, block), *_ = world.blocks()
    for name in CODES:
        np.testing.assert_array_equal(codes[name], block.impressions[name])
    rows = block.impressions
    chance = truth.p_click(rows["user"], rows["item"], rows["position"], 0.5, codes)
    assert chance.shape == (len(shown),) and 0 < chance.mean() < 0.3


def test_queries_say_what_is_wanted(written):
    world, folder = written
    shown = pl.read_parquet(folder / "impressions.parquet")
    (_, block), *_ = world.blocks()
    asked = block.impressions["query"] >= 0
    assert (shown["query"].is_not_null().to_numpy() == asked).all() and 0.3 < asked.mean() < 0.7
    leaves = np.array(world.items.schema.leaves)[block.impressions["wanted"][asked]]
    assert all(leaf in query for leaf, query in zip(leaves, shown["query"].drop_nulls()))
    searches = pl.read_parquet(folder / "searches.parquet")
    assert len(searches) == int((shown["clicked"] & shown["query"].is_not_null()).sum())


def test_sitelinks_state_what_is_offered(written):
    world, _ = written
    stated = 0
    for row in range(90):
        copy = world.copy(row)
        assert (copy.sitelinks is not None) == world.items.present["sitelinks"][row]
        for fact in (fact for fact in copy.facts if fact.field == "sitelinks"):
            word = copy.sitelinks[fact.start : fact.stop]
            assert word in world.items.schema.words["service"][fact.value]
            assert fact.true == (fact.value == world.truth.attributes["service"][row])
            stated += 1
    assert stated > 25


@pytest.mark.parametrize("block", [16, 64])
def test_streamed_equals_in_memory(tmp_path, block):
    settings = dict(n_items=60, n_users=100, media=False, block=block)
    folder = World.make("ads", **settings).write(tmp_path / "w")
    fresh = World.make("ads", **settings)
    for name in ("interactions", "impressions"):
        assert_frame_equal(pl.read_parquet(folder / f"{name}.parquet"), getattr(fresh, name))


def test_a_bad_policy_is_named():
    sponsored = World.make("ads").config.sponsored.model_dump()
    with pytest.raises(ConfigError, match="policy_last"):
        World.make("ads", sponsored=sponsored | {"policy_last": (0.5, 0.5, 0.5, 0.5)})
