"""Callbacks, own metrics, and seeds of a comparison."""

import numpy as np
import pytest

import palate
from palate.core.errors import ConfigError, DataError


def first_hit(lists, questions):
    owner = questions.relevant.owners()
    hit = lists[owner, 0] == questions.relevant.items
    return np.bincount(owner, hit, minlength=len(lists))


def test_a_callback_gets_a_record_an_epoch(shop):
    records = []
    palate.models.BPR(dim=4, epochs=3).fit(shop, callbacks=[lambda record: records.append(dict(record))])
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert all(record["model"] == "bpr" and record["loss"] > 0 and record["seconds"] >= 0 for record in records)
    assert all(0 <= record["valid"] <= 1 and record["metric"] == "recall@20" for record in records)


def test_callbacks_change_nothing(shop, bpr):
    again = palate.models.BPR(dim=8, epochs=3).fit(shop, callbacks=[lambda record: None])
    assert np.array_equal(again.item_vectors().vectors, bpr.item_vectors().vectors)


def test_members_of_a_blend_call_back_too(shop):
    names = set()
    palate.models.Blend(members=("bpr", "ease"), settings={"bpr": {"epochs": 1}}).fit(
        shop, callbacks=[lambda record: names.add(record["model"])]
    )
    assert names == {"bpr"}


def test_evaluate_is_public_and_takes_metrics_of_ones_own(shop, ease):
    judged = palate.evaluate(ease, shop, metrics=["ndcg@7", first_hit])
    assert {"recall@20", "ndcg@7", "first_hit"} <= judged.metrics.keys()
    hit = palate.evaluate(ease, shop, ["hit_rate@1"]).metrics["hit_rate@1"]
    assert judged.metrics["first_hit"] == pytest.approx(hit)
    named = palate.evaluate(ease, shop, metrics={"top": first_hit})
    assert np.array_equal(named.per_unit["top"], judged.per_unit["first_hit"])


def test_a_metric_that_cannot_be_used_is_refused(shop, ease):
    with pytest.raises(DataError, match="one number"):
        palate.evaluate(ease, shop, {"wrong": lambda lists, questions: 1.0})
    for metric in ("ndgc@7", "ndcg", "ndcg@0", "ndcg@51", "ndcg@x"):
        with pytest.raises(ConfigError):
            palate.evaluate(ease, shop, [metric])


def test_seeds_are_a_number_or_a_sequence(shop, tmp_path):
    counted = palate.compare(shop, ["popularity", "ease"], tmp_path / "a", seeds=2, resamples=50)
    listed = palate.compare(shop, ["popularity", "ease"], tmp_path / "b", seeds=(0, 1), resamples=50)
    assert counted["seeds"] == listed["seeds"] == [0, 1]
    for wrong in (0, -1, [], [1, 1]):
        with pytest.raises(ConfigError, match="seed"):
            palate.compare(shop, ["popularity"], tmp_path / "c", seeds=wrong)


def test_no_text_is_encoded_twice_in_one_comparison(frames, tmp_path, monkeypatch):
    from palate.features.encoders.hash import HashedNgrams

    encoded = []
    real = HashedNgrams.embed
    monkeypatch.setattr(HashedNgrams, "embed", lambda self, texts: encoded.extend(texts) or real(self, texts))
    data = palate.Dataset.from_frames(*frames, split="item_cold")
    models = ["content_knn", "content_kernel", "popularity"]
    palate.compare(data, models, tmp_path, seeds=2, resamples=20, encoders={"text": "hash?dim=16"})
    assert encoded and len(encoded) == len(set(encoded))


def test_compare_tests_a_metric_of_ones_own_also_on_finished_cells(shop, tmp_path):
    names = ["popularity", "ease"]
    plain = palate.compare(shop, names, tmp_path, seeds=1, resamples=50)
    result = palate.compare(shop, names, tmp_path, seeds=1, resamples=50, metrics=["ndcg@7", first_hit])
    assert "first_hit" not in plain["tests"] and {"first_hit", "ndcg@7"} <= result["tests"].keys()
    judged = palate.evaluate(palate.models.EASE().fit(shop), shop, [first_hit])
    row = {row["model"]: row for row in result["table"]}["ease"]
    assert row["first_hit"] == pytest.approx(judged.metrics["first_hit"])
    assert row["recall@20"] == {row["model"]: row for row in plain["table"]}["ease"]["recall@20"]
    assert result["tests"]["first_hit"][("popularity", "ease")[result["baseline"] == "popularity"]]["p_value"] <= 1
