"""Every registered ranker, found by registration: it learns, saves, meets strangers, and never sees the test part."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from ranker_case import N_ITEMS, fitted, log, make, rankers, run_of, shop
from typer.testing import CliRunner

import palate
from palate.batches.impressions import ImpressionBatches
from palate.cli.main import app
from palate.core.context import RunContext
from palate.core.errors import ConfigError, DataError, NotFittedError, UnsupportedError
from palate.data.schema import Schema
from palate.evaluation.compare import compare
from palate.evaluation.evaluate import evaluate
from palate.evaluation.tasks.rank import predict
from palate.features.counters import Asked
from palate.training.erase import erase_user
from palate.training.fit import fit
from palate.training.log import FitLog

NAMES = rankers()
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rankers")


def history_of(model) -> FitLog:
    return model.deployment.log


@each
def test_it_learns_taste(name):
    model = fitted(name, epochs=25)
    judged = evaluate(model, shop())
    assert judged.metrics["group_auc"] > 0.65, "AUC within impressions after 25 epochs on clicks that follow taste"
    assert judged.about["headline"] == "group_auc" and judged.unit == "impression"
    losses = [record["loss"] for record in history_of(model).history]
    assert not losses or losses[-1] < losses[0]
    assert history_of(model).metric == "group_auc" and history_of(model).valid > 0.5


@each
def test_the_same_seed_gives_the_same_bits(name):
    again = fit(make(name, patience=3), shop(), seed=0)
    state, questions = fitted(name).state_dict(), shop().test_events()
    assert all(torch.equal(tensor, state[key]) for key, tensor in again.state_dict().items())
    assert np.array_equal(predict(again, questions), predict(fitted(name), questions))
    assert not np.array_equal(predict(fitted(name, seed=1), questions), predict(fitted(name), questions))


@each
def test_the_test_part_is_never_seen(name):
    one, other = fitted(name), fitted(name, flip_test=True)
    state, questions = other.state_dict(), shop().test_events()
    assert all(torch.equal(tensor, state[key]) for key, tensor in one.state_dict().items())
    assert np.array_equal(predict(one, questions), predict(other, questions))


@each
def test_a_restored_run_scores_alike(name, folder):
    model, back = fitted(name), palate.restore(run_of(name, folder))
    questions = shop().test_events()
    np.testing.assert_allclose(predict(back, questions), predict(model, questions), rtol=1e-5, atol=1e-6)
    assert history_of(back).history == history_of(model).history


@each
def test_scores_do_not_depend_on_the_rest_of_the_batch(name):
    model, questions = fitted(name), shop().test_events()
    whole = predict(model, questions)
    rows = np.array([5, 0, 17])
    np.testing.assert_allclose(predict(model, questions.take(rows)), whole[rows], rtol=1e-5, atol=1e-6)


@each
def test_candidates_are_ranked_by_external_ids(name):
    model = fitted(name)
    table = model.rank(["i03", "i07", "i19"], "u05", context={"hour": 1})
    assert table.columns == ["item", "probability", "rank"] and set(table["item"]) == {"i03", "i07", "i19"}
    assert table["rank"].to_list() == [1, 2, 3] and table["probability"].is_sorted(descending=True)
    assert table["probability"].is_between(0, 1).all()
    stranger = model.rank(["i03", "i07"], "nobody", history=["i04", "i08"])
    assert np.isfinite(stranger["probability"].to_numpy()).all()
    nothing = model.rank(["i03", "i07"])
    assert np.isfinite(nothing["probability"].to_numpy()).all()
    with pytest.raises(DataError, match="i99"):
        model.rank(["i99"], "u05")
    with pytest.raises(NotFittedError, match="fit"):
        make(name).rank(["i03"])


@each
def test_the_command_line_ranks_and_refuses_what_is_for_matchers(name, folder):
    run = str(run_of(name, folder))
    said = CliRunner().invoke(
        app, ["rank", run, "--items", "i03, i07", "--user", "u05", "--context", "hour=1", "--json"]
    )
    rows = json.loads(said.stdout)
    assert [row["rank"] for row in rows] == [1, 2] and {row["item"] for row in rows} == {"i03", "i07"}
    refused = CliRunner().invoke(app, ["recommend", run, "--user", "u05"])
    assert isinstance(refused.exception, UnsupportedError) and "'rank'" in str(refused.exception)


@each
def test_unseen_items_and_values_are_scored(name):
    extra = (
        log().filter(pl.col("part") == 2).with_columns(item=pl.lit(f"i{N_ITEMS - 1:02d}"), hour=pl.lit(77, pl.Int64))
    )
    questions = shop(events=pl.concat([log(), extra])).test_events()
    assert np.isfinite(predict(fitted(name), questions)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gbdt"])
def test_every_weight_has_a_gradient(name):
    model, data = make(name), shop()
    view = data.select_view()
    torch.manual_seed(0)
    model.setup(view, RunContext())
    source = model.batches(view, RunContext())
    model.train()
    reached: set[str] = set()
    for start in range(0, len(source), 16):
        rows = np.arange(start, min(start + 16, len(source)))
        model.zero_grad()
        model.loss(source.collate(rows, np.random.default_rng(start)))["loss"].backward()
        reached |= {key for key, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    idle = {key for key, p in model.named_parameters() if p.requires_grad} - reached
    # a bias that adds the same to all candidates of a row cannot change a softmax over them
    assert not {key for key in idle if "bias" not in key}, f"no batch moves {sorted(idle)}"


@each
def test_settings_are_described(name):
    for setting, field in type(make(name).config).model_fields.items():
        assert field.description, f"{name}: Field({setting}, description=...) says what it is"


def test_batches_are_pure_and_hold_no_later_click():
    view = shop().select_view()
    for negatives in (0, 3):
        source = ImpressionBatches(view, Schema.fit(view), 50, negatives)
        rows = np.array([3, 40, 11])
        one, other = (source.collate(rows, np.random.default_rng(1)) for _ in range(2))
        assert torch.equal(one.items, other.items) and torch.equal(one.history, other.history)
        times = view.events.time
        assert times is not None and one.times is not None
        for group in range(len(rows)):
            mine = (one.groups == group).nonzero()[0]
            user, moment = int(one.users[mine[0]]), int(one.times[mine[0]])
            past = (view.events.user == user) & (times < moment) & (view.events.label > 0)
            taken = one.history[one.indptr[group] : one.indptr[group + 1]].tolist()
            assert taken == view.events.item[past].tolist()
        if negatives:
            assert one.labels.view(-1, negatives + 1).tolist() == [[1, *[0] * negatives]] * len(rows)


def test_impressions_reach_the_paired_test_and_a_lower_log_loss_wins(tmp_path):
    small = "dim=4;epochs=2;batch_size=32;lr=0.01"
    models = [f"{NAMES[0]}:{small}", f"{NAMES[-1]}:{small};longest=3"]
    result = compare(shop(), models, tmp_path / "compared", seeds=(0, 1), baseline=models[0], resamples=200)
    assert result["task"] == "rank" and result["headline"] == "group_auc" and result["unit"] == "impression"
    assert set(result["tests"]) == {"group_auc", "log_loss"}
    test = result["tests"]["group_auc"][models[1]]
    judged = evaluate(fitted(NAMES[0]), shop()).per_unit["group_auc"]
    assert test["n_users"] == int((~np.isnan(judged)).sum()) < len(judged), "impressions of one label have no AUC"
    assert "group_auc" in (tmp_path / "compared" / "result.md").read_text()


def test_models_of_different_tasks_are_not_compared(tmp_path):
    with pytest.raises(ConfigError, match="different questions"):
        compare(shop(), [NAMES[0], "popularity"], tmp_path)


def test_an_erased_user_is_counted_no_more(folder):
    run = fitted("logistic").save(folder / "erased")
    before = palate.restore(run)
    row = before.deployment.users.rows(["u05"])[0]
    assert (before.known.user == row).any()
    assert erase_user(run, "u05")
    after = palate.restore(run)
    assert not (after.known.user == row).any() and len(after.known) < len(before.known)
    assert before.deployment.users.rows(["u06"]) == after.deployment.users.rows(["u06"])


def test_an_item_that_came_later_is_counted_as_unknown():
    model = fitted("logistic")
    assert model.counters_now(Asked(np.array([3]), np.array([2]))) is not None
    n = len(model.tables.table("item"))
    try:
        model.tables.grow(n + 1)
        model._sorted = None
        counters = model.counters_now(Asked(np.array([3, 3]), np.array([2, n])))
        assert np.isfinite(counters).all() and counters[0].any()
    finally:
        model.meet_tables(shop().users, shop().items)
