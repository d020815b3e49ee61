"""Every registered tagger, found by registration: it learns, saves, meets gaps, and never reads a label."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from tagger_case import BLANK, NAMES, NO_TEXT, N, fitted, make, plan, run_of, shop, taggers

import palate
from palate.contracts import tasks
from palate.core.errors import ConfigError, DataError, EmptyPartError, NotFittedError
from palate.core.item_features import ItemFeatures
from palate.evaluation.evaluate import evaluate
from palate.evaluation.missing import hide_content
from palate.training.fit import fit

ALL = taggers()
READERS = [name for name in ALL if name != "majority_tagger"]
each = pytest.mark.parametrize("name", ALL)
each_reader = pytest.mark.parametrize("name", READERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("taggers")


def probabilities(model) -> np.ndarray:
    return model.tag(model.deployment.features)


@each_reader
def test_it_tags_new_items_by_their_content(name):
    judged, floor = evaluate(fitted(name), shop()), evaluate(fitted("majority_tagger"), shop())
    assert judged.unit == "item" and judged.about["headline"] == "average_precision" and judged.about["labels"] == 4
    assert judged.metrics["macro_average_precision"] > floor.metrics["macro_average_precision"] + 0.3
    assert judged.metrics["micro_f1"] > 0.75 > floor.metrics["micro_f1"]
    assert 0 < fitted(name).deployment.log.valid <= 1


@each_reader
def test_one_label_an_item_is_a_choice(name):
    model = fitted(name, column="kind")
    found = probabilities(model)
    assert model.single and np.allclose(found.sum(1), 1, atol=1e-5)
    assert (model.choose(found).sum(1) == 1).all() and model.deployment.log.selected.get("thresholds") is None
    judged = evaluate(model, shop("kind")).metrics
    assert judged["accuracy"] == judged["hit_rate@1"] == pytest.approx(judged["micro_f1"]) and judged["accuracy"] > 0.75


@each_reader
def test_thresholds_are_chosen_on_validation_and_kept(name, folder):
    model, back = fitted(name), palate.restore(run_of(name, folder))
    chosen = model.deployment.log.selected["thresholds"]
    assert set(chosen) == set(NAMES) and chosen == back.given_thresholds
    own = fit(make(name, thresholds={"War": 0.99}), shop(), content=plan(shop()))
    assert own.given_thresholds["War"] == 0.99 and own.given_thresholds["Horror"] == pytest.approx(chosen["Horror"])


@each
def test_the_same_seed_gives_the_same_bits(name):
    again = fit(make(name), shop(), seed=0, content=plan(shop()))
    assert np.array_equal(probabilities(again), probabilities(fitted(name)))
    assert again.given_thresholds == fitted(name).given_thresholds


@each
def test_test_items_and_their_labels_are_never_seen(name):
    one, other = fitted(name), fitted(name, changed=True)
    rest = ~np.asarray(shop().split.test_candidates)
    # texts of other lengths in a batch may change the last bit of an encoder
    np.testing.assert_allclose(probabilities(one)[rest], probabilities(other)[rest], rtol=1e-4, atol=1e-6)
    assert one.given_thresholds == pytest.approx(other.given_thresholds, rel=1e-4)


@each
def test_the_labels_are_no_content(name):
    model = fitted(name)
    read = {c for one in model.deployment.content.plan.values() for c in (one.columns or ())}
    assert "genre" not in read and "attributes" not in model.deployment.content.plan


@each
def test_a_restored_run_tags_alike(name, folder):
    model, back = fitted(name), palate.restore(run_of(name, folder))
    np.testing.assert_allclose(probabilities(back), probabilities(model), rtol=1e-5, atol=1e-6)
    assert back.labels() == model.labels() and back.tags().equals(model.tags()) and back.column == "genre"
    assert "tag" in repr(back).lower() and back.task.name == "tag"


@each
def test_tags_do_not_depend_on_the_rest_of_the_batch(name):
    model, rows = fitted(name), np.array([7, 0, 33])
    alone = model.tag(model.deployment.features.take(rows))
    np.testing.assert_allclose(alone, probabilities(model)[rows], rtol=1e-4, atol=1e-6)


@each
def test_missing_modalities_are_ordinary(name):
    model = fitted(name)
    found = probabilities(model)
    assert np.isfinite(found).all() and ((found >= 0) & (found <= 1)).all()
    few = model.tag(ItemFeatures(dict(list(model.deployment.features.items())[:1]), N))
    none = model.tag(ItemFeatures({}, 3))
    assert np.isfinite(few).all() and none.shape == (3, 4) and np.isfinite(none).all()
    assert (none == none[0]).all()


@each_reader
def test_an_item_without_content_gets_no_tag(name):
    model = fitted(name)
    tagged = set(model.tags()["item"])
    assert f"i{BLANK:02d}" not in tagged and len(tagged) >= N - len(NO_TEXT)


@each
def test_new_items_are_tagged_without_training(name, folder):
    model = palate.restore(run_of(name, folder))
    frame = pl.DataFrame({"item": ["new", "bare"], "title": ["ghost blood monster fear number 3", None]})
    vectors = np.full((2, 6), np.nan, np.float32)
    model.add_items(frame, {"image": vectors} if "image" in model.deployment.items.given else None)
    found = model.tags(["new", "bare"])
    if name in READERS:
        assert found["item"].to_list() == ["new"] * len(found) and found["tag"][0] == "Horror"
    assert model.tags(["i00"]).columns == ["item", "tag", "probability"]
    with pytest.raises(DataError, match="nobody"):
        model.tags(["nobody"])
    with pytest.raises(NotFittedError, match="fit"):
        make(name).tags()


@each
def test_a_split_that_hides_no_items_holds_some_out(name):
    data = shop(split="random")
    model = fitted(name, split="random")
    assert model.deployment.log.valid is not None
    with pytest.raises(EmptyPartError, match="hides no items"):
        tasks.get("tag").questions(data, "test")
    with pytest.raises(EmptyPartError, match="hides no items"):
        tasks.get("tag").questions(data.with_split("item_cold:transductive=true"), "test")


@each
def test_a_column_is_named_where_several_could_be_meant(name):
    with pytest.raises(ConfigError, match="no such column"):
        fit(make(name, column="genres"), shop(), content=plan(shop()))
    both = palate.Dataset.from_frames(
        shop().items.frame.with_columns(kind=pl.Series(["a", "b"] * (N // 2))),
        pl.DataFrame({"user": ["u"] * N, "item": shop().items.ids.ids}),
        columns={"item": "id", "title": "text", "genre": "attributes", "kind": "attributes"},
        split="item_cold",
    )
    with pytest.raises(ConfigError, match=r"column.*genre, kind"):
        fit(make(name), both, content=plan(both))


@each
def test_too_few_labels_are_an_error_that_says_what_to_do(name):
    bare = shop().items.frame.with_columns(genre=pl.Series([["War"]] * N))
    data = palate.Dataset.from_frames(
        bare, pl.DataFrame({"user": ["u"] * N, "item": bare["item"]}),
        columns={"item": "id", "title": "text", "genre": "attributes"}, split="item_cold",
    )  # fmt: skip
    with pytest.raises(DataError, match=r"1 labels.*zero_shot_tagger"):
        fit(make(name, column="genre"), data, content=plan(data))


def test_what_items_lack_at_test_is_missed_and_can_be_predicted(folder):
    model, before = palate.restore(run_of("content_tagger", folder)), evaluate(fitted("content_tagger"), shop())
    hide_content(model, shop(), 0.6, 1)
    poorer = evaluate(model, shop())
    assert poorer.metrics["average_precision"] < before.metrics["average_precision"]
    imputed = fit(make("content_tagger", impute="ridge"), shop(), content=plan(shop()))
    hide_content(imputed, shop(), 0.6, 1)
    assert not np.array_equal(imputed.tag(imputed.item_features), probabilities(model))
    there = {name: features.present for name, features in imputed.item_features.items()}
    assert there["text"].sum() > poorer.questions.items.present("text").sum(), "its picture tells its text"


@each
def test_settings_are_described(name):
    for setting, field in type(make(name).config).model_fields.items():
        assert field.description, f"{name}: Field({setting}, description=...) says what it is"


def test_every_weight_has_a_gradient():
    for column, hidden in (("genre", 0), ("genre", 8), ("kind", 8)):
        model, data = make("content_tagger", hidden=hidden, dropout=0.0), shop(column)
        view = plan(data).without_columns((column,), data.items).view(data.select_view(), data)
        model.setup(view, palate.core.context.RunContext())
        source = model.batches(view, palate.core.context.RunContext())
        rows = np.arange(len(source))
        model.loss(source.collate(rows, np.random.default_rng(0)))["loss"].backward()
        idle = [key for key, p in model.named_parameters() if p.numel() and (p.grad is None or not p.grad.abs().sum())]
        assert not idle, f"{column}, hidden={hidden}: no batch moves {idle}"


def test_encoders_are_trained_along_saved_and_used_for_new_items(tmp_path):
    from checks_axes import tower

    data = shop()
    for tuning, fusion in (("lora:2", "late"), ("full", "intermediate")):
        made = plan(data)
        plan_with = palate.features.plan.ContentPlan(made.features, made.store, encoders={"text": tower()})
        model = make("content_tagger", tuning=tuning, fusion=fusion, fused_dim=8, epochs=3)
        fit(model, data, content=plan_with)
        trained = model.deployment.content.trained
        assert trained is not None and model.deployment.log.valid > 0 and model.content.network is None
        back = palate.restore(model.save(tmp_path / tuning.partition(":")[0]))
        np.testing.assert_allclose(probabilities(back), probabilities(model), rtol=1e-4, atol=1e-6)
        start = tower().network().state_dict()
        moved = [not torch.equal(w, start[key]) for key, w in trained.networks[0].state_dict().items() if key in start]
        assert any(moved) == (tuning == "full")
        back.add_items(
            pl.DataFrame({"item": ["new"], "title": ["army soldiers battle tanks"]}),
            {"image": np.zeros((1, 6), np.float32)},
        )
        assert set(back.tags(["new"])["tag"]) <= set(NAMES)
