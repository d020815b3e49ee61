"""The funnel: each stage chooses from the one before, is judged by itself, and survives saving and serving."""

import numpy as np
import pytest
from cases import people, visitors
from tiny_world import N_USERS, variant
from typer.testing import CliRunner

import palate
from palate.cli.main import app
from palate.contracts import models
from palate.contracts.parse import parse_pipeline
from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError
from palate.evaluation.evaluate import evaluate
from palate.models.rerank.shared.held_lists import hold_out
from palate.models.rerank.shared.ranked_lists import RANK, SCORE, candidate_context, learning_view

MATCH = "bpr:dim=8;epochs=5;batch_size=64;lr=0.02"
RANK_BY = "din:dim=8;epochs=3;min_count=1;batch_size=64"
STAGES = {"match": MATCH, "rank": RANK_BY, "rerank": "ssd:diversity=0.5", "depth": 12, "kept": 8}


@pytest.fixture(scope="module")
def fitted():
    return models.get("funnel")(**STAGES).fit(variant("described"), seed=0)


def test_each_stage_chooses_from_the_one_before(fitted):
    users = people(variant("described"))
    ids = {
        stage: fitted.through(stage).scorer().topk(users, 5, users.history)[0] for stage in ("match", "rank", "rerank")
    }
    deep = fitted.match.scorer().topk(users, 12, users.history)[0]
    kept = fitted.through("rank").scorer().topk(users, 8, users.history)[0]
    assert np.array_equal(ids["match"], deep[:, :5])
    assert np.array_equal(ids["rank"], kept[:, :5])
    for row in range(N_USERS):
        assert set(ids["rank"][row]) <= set(deep[row]) and set(ids["rerank"][row]) <= set(kept[row])
    assert not np.array_equal(ids["rank"], ids["match"]) and not np.array_equal(ids["rerank"], ids["rank"])


def test_a_list_does_not_depend_on_the_others(fitted):
    users = people(variant("described"))
    whole, _ = fitted.scorer().topk(users, 5, users.history)
    some = np.array([3, 0])
    alone, _ = fitted.scorer().topk(users.take(some), 5, users.history.take(some))
    assert np.array_equal(alone, whole[some])


def test_the_ranker_learns_from_positives_that_the_first_matcher_did_not_see():
    train = variant("described").select_view()
    kept, held = hold_out(train, 0.3, 0)
    first = models.get("popularity")().fit(variant("described"))
    view = learning_view(train, kept, held, first.scorer(), first.scorer(), 10)
    events = view.events
    assert events.impression is not None
    shown = events.impression >= 0
    liked = {(u, i) for u, i in zip(events.user[shown & (events.label > 0)], events.item[shown & (events.label > 0)])}
    owners = held.owners()
    assert liked and liked <= {(u, i) for u, i in zip(owners, held.items)}
    # what is known before a list are the positives that were kept, and nothing of the list itself
    history = view.histories.before(events.user[shown], events.time[shown])
    past = {(u, i) for u, i in zip(kept.users, kept.items)}
    for user, items in zip(events.user[shown], np.split(history.items, history.indptr[1:-1])):
        assert {(user, item) for item in items} <= past
    queries = view.ranking_queries
    assert queries is not None and 0 < (queries.events.label > 0).mean() < 1


def test_context_of_candidates_by_hand():
    scores = np.array([[3.0, 1.0, -np.inf], [2.0, 2.0, 2.0]], np.float32)
    context = candidate_context(scores, np.isfinite(scores))
    assert context[SCORE].reshape(2, 3)[0, :2].tolist() == [1.0, -1.0] and not context[SCORE][3:].any()
    np.testing.assert_allclose(context[RANK][:3], np.log([1, 2, 3]), rtol=1e-6)


def test_it_is_judged_saved_and_lists_for_strangers(fitted, tmp_path):
    judged = evaluate(fitted, variant("described"))
    assert judged.about["task"] == "rerank" and judged.metrics["ndcg@10"] > 0
    back = palate.restore(fitted.save(tmp_path / "run"))
    table = fitted.recommend(["u03"], k=5)
    again = back.recommend(["u03"], k=5)
    assert again["item"].equals(table["item"])
    np.testing.assert_allclose(again["score"], table["score"], rtol=1e-4)
    ids, _ = back.scorer().topk(visitors([[2, 6], []]), 5)
    assert ids.shape == (2, 5) and (ids[0] >= 0).all()
    nobody = visitors([]).take(np.zeros(0, np.int64))
    assert back.scorer().topk(nobody, 5, RaggedArray.of([]))[0].shape == (0, 5)


def test_a_reranker_without_vectors_of_the_matcher_reads_content():
    model = models.get("funnel")(match="item_knn", rerank="mmr:diversity=0.5", kept=8).fit(variant("described"), seed=0)
    assert model.reranker.feature == "text"
    ids, _ = model.scorer().topk(people(variant("described")), 5)
    assert (ids >= 0).all()


def test_stages_are_of_their_kind():
    with pytest.raises(ConfigError, match="match"):
        models.get("funnel")(match="din")
    with pytest.raises(ConfigError, match="rank"):
        models.get("funnel")(match=MATCH, rank="bpr")
    with pytest.raises(ConfigError, match="rerank"):
        models.get("funnel")(match=MATCH, rerank="din")
    with pytest.raises(ConfigError, match="own matcher"):
        models.get("funnel")(match=MATCH, rerank="prm")


def test_a_pipeline_is_read_with_the_settings_of_its_stages():
    assert parse_pipeline("match=blend,rank=din:fields=[user,item];dim=8, rerank=ssd") == {
        "match": "blend", "rank": "din:fields=[user,item];dim=8", "rerank": "ssd",
    }  # fmt: skip
    for text in ("blend", "match=", "match=a,match=b", "x,match=a"):
        with pytest.raises(ConfigError, match="stages"):
            parse_pipeline(text)


def test_the_command_line_refuses_a_pipeline_beside_a_model(tmp_path):
    said = CliRunner().invoke(app, ["fit", str(tmp_path), "--model", "bpr", "--pipeline", "match=bpr", "--out", "x"])
    assert isinstance(said.exception, ConfigError) and "pipeline" in str(said.exception)
