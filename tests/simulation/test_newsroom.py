"""News, version 2: headlines that say what an article is about, cover pictures, and reading times behind dwell."""

import numpy as np
import polars as pl
import pytest

import palate
from palate.simulation import World
from palate.simulation.log import DAY


@pytest.fixture(scope="module")
def world():
    return World.make("news", seed=3, n_items=200, n_users=300, media=False)


def test_headlines_state_facts():
    world = World.make("news", seed=1, n_items=120, n_users=10)
    titles = stated = 0
    for row in range(120):
        copy = world.copy(row)
        said = [fact for fact in copy.facts if fact.field == "title"]
        for fact in said:
            assert copy.title[fact.start : fact.stop] in world.items.schema.words[fact.attribute][fact.value]
            assert fact.true == (fact.value == world.truth.attributes[fact.attribute][row])
        titles += world.items.present["text"][row]
        stated += {"theme", "place"} <= {fact.attribute for fact in said}
        assert "{" not in copy.title
    assert stated > 0.7 * titles


def test_impressions_have_all_that_ranking_needs(tmp_path):
    folder = World.make("news", seed=1, n_items=120, n_users=60, interactions_per_user=4, image_size=64).write(
        tmp_path / "news"
    )
    data = palate.load(folder)
    assert set(data.items.modalities) == {"text", "image", "attributes"}
    events = data.select_view().events
    assert 0.01 < float(events.label.mean()) < 0.5 and np.nanmin(events.propensity) > 0
    assert np.unique(events.impression, return_counts=True)[1].max() == 10 == events.position.max() + 1
    lengths = data.test_events().history().lengths
    assert lengths.max() > 0
    shown = pl.read_parquet(folder / "impressions.parquet")
    assert (shown["dwell"].is_not_null() == shown["clicked"]).all()
    assert pl.read_parquet(folder / "items.parquet")["reading_time"].min() > 0


def test_clicks_follow_p_click(world):
    (_, block), *_ = world.blocks()
    seen = block.impressions
    time = (seen["timestamp"] - world.config.start) / (world.config.days * DAY)
    chance = world.truth.p_click(seen["user"], seen["item"], seen["position"], time)
    for part in (chance < 0.02, (chance >= 0.02) & (chance < 0.3), chance >= 0.3):
        spread = np.sqrt((chance[part] * (1 - chance[part])).sum())
        assert abs(seen["clicked"][part].sum() - chance[part].sum()) < 4 * spread


def test_dwell_follows_reading_time_and_liking(world):
    (_, block), *_ = world.blocks()
    rows = block.impressions
    at = rows["clicked"]
    long = np.log(world.items.reading[rows["item"][at]])
    dwell = np.log(rows["dwell"][at])
    liked = world.truth.relevance(rows["user"][at], rows["item"][at], 0.5)
    logit = np.clip(np.log(liked / (1 - liked)), -3, 3)
    weights = np.linalg.lstsq(np.column_stack([long, logit, np.ones(at.sum())]), dwell, rcond=None)[0]
    assert abs(weights[0] - 1) < 0.06 and 0.2 < weights[1] < 0.35
    assert np.corrcoef(long, dwell)[0, 1] > 0.4
