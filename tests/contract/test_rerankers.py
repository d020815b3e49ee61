"""Every registered reranker: it lists what its matcher lists, in an order of its own, and survives saving."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from cases import Case, people, visitors
from tiny_world import N_ITEMS, N_USERS, arrivals, dataset, item_ids, variant, vectors

import palate
from palate.contracts import models
from palate.contracts.parse import parse_model, with_settings
from palate.core.batch import UserBatch
from palate.core.config import TrainedConfig
from palate.core.errors import ConfigError, DataError, UnsupportedError
from palate.evaluation.evaluate import evaluate
from palate.models.rerank.shared.config import VectorRerankConfig
from palate.models.rerank.shared.list_reranker import ListReranker

NAMES = [name for name, kind in models.items() if issubclass(kind, ListReranker)]
COMPARING = [name for name in NAMES if issubclass(models.get(name).Config, VectorRerankConfig)]
BASE = "bpr:dim=8;epochs=5;batch_size=64;lr=0.02"
DIFFERENT = {
    "quotas": {"rules": "genre<=1, genre:c>=1", "first": 4},
    "stakeholders": {"rules": "genre<=2", "first": 6},
    "calibrated": {"strength": 0.9},
    "prm": {"lr": 0.05},
}
"""Settings under which lists differ from those of the matcher; all others have defaults under which they do."""
SAME = {
    "calibrated": {"strength": 0.0},
    "quotas": {"rules": ""},
    "stakeholders": {"providers": 0.0},
    "prm": {"epochs": 0},
}
"""Settings that keep the matcher's order; ``diversity`` 0 for all others."""


def new(name, base=BASE, **settings):
    kind = models.get(name)
    small = {"dim": 8, "epochs": 4, "batch_size": 16, "patience": 9} if issubclass(kind.Config, TrainedConfig) else {}
    return kind(base=base, **{**small, **settings})


@pytest.fixture(scope="module", params=NAMES)
def fitted(request):
    return new(request.param, **DIFFERENT.get(request.param, {})).fit(variant("described"), seed=0)


def test_lists_hold_the_candidates_of_the_first_stage(fitted):
    scorer, users = fitted.scorer(), people(variant("described"))
    assert not scorer.can_score and list(scorer.members()) == list(fitted.members()) == ["bpr"]
    ids, scores = scorer.topk(users, 8, users.history)
    first, _ = fitted.base.scorer().topk(users, 100, users.history)
    assert ids.shape == scores.shape == (N_USERS, 8) and not np.array_equal(ids, first[:, :8])
    for row in range(N_USERS):
        mine = ids[row][ids[row] >= 0]
        assert len(set(mine.tolist())) == len(mine) and set(mine.tolist()) <= set(first[row].tolist())
        assert not set(mine.tolist()) & set(users.history[row].tolist())


def test_a_list_depends_on_no_other_list(fitted):
    scorer, users = fitted.scorer(), people(variant("described"))
    ids, _ = scorer.topk(users, 8)
    rows = np.array([5, 20, 3])
    assert np.array_equal(scorer.topk(users.take(rows), 8)[0], ids[rows])
    assert scorer.topk(users.take(rows[:0]), 8)[0].shape == (0, 8)


def test_positions_are_those_of_its_lists(fitted):
    users = people(variant("described")).take(np.arange(3))
    first, scores = fitted.base.scorer().topk(users, 100)
    first[1, 2:], scores[1, 2:] = -1, -np.inf
    first[2], scores[2] = -1, -np.inf
    order = fitted.rerank(first, scores, 8, users)
    assert np.array_equal(first[0, order[0]], fitted.scorer().topk(users, 8)[0][0])
    assert set(order[1].tolist()) <= {0, 1, -1} and (order[1, 2:] == -1).all() and (order[2] == -1).all()
    assert fitted.rerank(first, scores, 8).shape[0] == 3, "of lists whose users nobody knows"


@pytest.mark.parametrize("name", NAMES)
def test_without_strength_the_order_stays(name):
    model = new(name, **SAME.get(name, {"diversity": 0.0})).fit(variant("described"), seed=0)
    users = people(variant("described"))
    ids, scores = model.scorer().topk(users, 10)
    first, values = model.base.scorer().topk(users, 10)
    assert np.array_equal(ids, first) and np.array_equal(scores, values)


def test_it_is_judged_saved_and_recommends(fitted, tmp_path):
    judged = evaluate(fitted, variant("described"))
    assert judged.about["task"] == "rerank" and judged.about["headline"] == "ndcg@10" and judged.metrics["ndcg@10"] > 0
    back = palate.restore(fitted.save(tmp_path / "run"))
    table = fitted.recommend(["u03"], k=5)
    again = back.recommend(["u03"], k=5)
    assert again["item"].equals(table["item"]) and table["rank"].to_list() == list(range(1, len(table) + 1))
    np.testing.assert_allclose(again["score"], table["score"], rtol=1e-5)
    ids, _ = back.scorer().topk(visitors([[2, 6], []]), 5)
    assert ids.shape == (2, 5)


@pytest.mark.parametrize("name", COMPARING)
def test_content_takes_the_place_of_missing_vectors(name):
    data = variant("plain")
    with pytest.raises(UnsupportedError, match="vectors=text"):
        new(name, "popularity").fit(data).scorer()
    with pytest.raises(ConfigError, match="imag"):
        new(name, "popularity", vectors="imag").fit(data)
    model = new(name, "popularity", vectors="image").fit(data, seed=0)
    assert model.capabilities.content and model.content.shape == (N_ITEMS, 8) and not model.content[3].any()
    ids, _ = model.scorer().topk(people(data), N_ITEMS)
    assert all(sorted(row) == list(range(N_ITEMS)) for row in ids), "items without a picture are listed"


@pytest.mark.parametrize("name", NAMES)
def test_new_items_are_listed_where_the_matcher_knows_them(name):
    base = "content_knn"
    vectors_of = {"vectors": "text"} if name in COMPARING else {}
    settings = {**DIFFERENT.get(name, {}), **vectors_of}
    columns = {"item": "id", "title": "text", "genre": "attributes"}
    data = dataset(None, items=variant("described").items.frame, columns=columns)
    model = new(name, base, **settings)
    model.fit(data, content=Case(type(model), None).content(data), seed=0)
    assert model.capabilities.new_items
    model.add_items(arrivals())
    listed = model.recommend(history=["i00", "i04"], k=N_ITEMS)["item"].to_list()
    if name == "quotas":
        assert len(model.groups["genre"].codes) == N_ITEMS + 2 and model.groups["genre"].codes[-2, 0] < 4
    else:
        assert "new-full" in listed
    with pytest.raises(UnsupportedError, match="new items"):
        new(name, **DIFFERENT.get(name, {})).fit(data).add_items(arrivals())


def test_a_refit_has_what_was_chosen_on_validation():
    model = new("mmr").fit(variant("item_cold"), seed=0)
    log = model.deployment.log
    epochs = int(log.selected["base"].rpartition("epochs=")[2])
    assert model.config.base == log.selected["base"] and model.base.config.epochs == epochs <= 5


def test_settings_are_added_to_the_text_of_a_model():
    assert with_settings("bpr", {}) == "bpr"
    for text in ("bpr", "bpr@faithful", "bpr:dim=8;epochs=9"):
        model = parse_model(with_settings(text, {"epochs": 3, "lr": 1e-5}))
        assert model.config.epochs == 3 and model.config.lr == 1e-5
    assert parse_model(with_settings("bpr:dim=8", {"epochs": 3})).config.dim == 8


def test_its_base_is_a_matcher():
    for base in ("din", "mmr"):
        with pytest.raises(ConfigError, match="matcher"):
            models.get("mmr")(base=base)


def test_attributes_are_named_in_errors():
    for name in ("calibrated", "stakeholders"):
        with pytest.raises(ConfigError, match="the items have none"):
            new(name).fit(variant("plain"))
    with pytest.raises(ConfigError, match="genre"):
        new("calibrated", column="genres").fit(variant("described"))
    with pytest.raises(ConfigError, match=r"genre:drama|drama"):
        new("quotas", rules="genre:drama<=1").fit(variant("described"))
    with pytest.raises(ConfigError, match="raise first"):
        new("quotas", rules="genre:s>=3", first=2).fit(variant("described"))
    for rules in ("genre=3", "genre>=1", "genre:s<3", "genre:s<=many"):
        with pytest.raises((ConfigError, DataError), match="limit"):
            new("quotas", rules=rules)
    with pytest.raises(ConfigError, match="no numbers"):
        new("stakeholders", bid="genre").fit(variant("described"))


def shop():
    """Providers of very different size, two genres, some advertisements."""
    rows = range(N_ITEMS)
    table = pl.DataFrame(
        {
            "item": item_ids(),
            "provider": ["big" if row < 20 else f"small {row}" for row in rows],
            "genres": [["Drama", "War"][: 1 + row % 2] if row % 5 else None for row in rows],
            "bid": [1.5 if row % 6 == 0 else None for row in rows],
        }
    )
    columns = {"item": "id", "provider": "attributes", "genres": "attributes", "bid": "attributes"}
    return dataset({"image": vectors()["image"]}, items=table, columns=columns)


def test_stakeholders_keep_rules_and_load():
    data = shop()
    with pytest.raises(ConfigError, match="several: provider, genres"):
        new("stakeholders").fit(data)
    settings = {"provider": "provider", "bid": "bid", "advertisers": 5.0, "max_ads": 2, "ad_start": 1, "ad_gap": 2}
    model = new("stakeholders", rules="provider<=3, genres:war<=2", first=5, **settings).fit(data, seed=0)
    ids, _ = model.scorer().topk(people(data), 5)
    assert ((ids < 20) & (ids >= 0)).sum(1).max() == 3, "a cap that is reached"
    ads = (ids % 6 == 0) & (ids >= 0)
    assert ads.sum(1).max() == 2 and not ads[:, 0].any() and not (ads[:, 1:-1] & (ads[:, 2:] | ads[:, :-2])).any()
    assert model.exposure["big"] > 5 > 0.5 > model.exposure["small 28"] == 0
    plain = new("stakeholders", provider="provider", providers=0.0).fit(data, seed=0)
    fair = new("stakeholders", provider="provider", providers=2.0).fit(data, seed=0)
    shown = [(one.scorer().topk(people(data), 5)[0] >= 20).mean() for one in (plain, fair)]
    assert shown[1] > shown[0], "exposure of small providers"


def test_calibration_follows_the_history():
    data = shop()
    model = new("calibrated", column="genres", strength=1.0).fit(data, seed=0)
    drama, both = [2, 4, 6, 8], [1, 3, 7, 9]
    ids, _ = model.scorer().topk(visitors([drama, both]), 4)
    genres = model.groups["genres"]
    assert genres.names == ("drama", "war")
    held = genres.shares_of(ids).mean(1)
    assert held[0, 1] == 0 < held[0, 0] and held[1, 0] == held[1, 1] > 0
    nobody = UserBatch(np.array([-1]), visitors([[]]).history)
    first, _ = model.base.scorer().topk(nobody, 4)
    assert np.array_equal(model.scorer().topk(nobody, 4)[0], first), "nothing to follow"
