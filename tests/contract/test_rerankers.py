"""Every registered reranker: it lists what its matcher lists, in an order of its own, and survives saving."""

from __future__ import annotations

import numpy as np
import pytest
from cases import people, visitors
from tiny_world import N_USERS, variant

import palate
from palate.contracts import Reranker, models
from palate.core.errors import ConfigError, UnsupportedError
from palate.evaluation.evaluate import evaluate
from palate.ranking.mmr import mmr, mmr_lists

NAMES = [name for name, kind in models.items() if issubclass(kind, Reranker)]
BASE = "bpr:dim=8;epochs=5;batch_size=64;lr=0.02"


@pytest.fixture(scope="module", params=NAMES)
def fitted(request):
    return models.get(request.param)(base=BASE).fit(variant("plain"), seed=0)


def test_lists_hold_the_candidates_of_the_first_stage(fitted):
    scorer, users = fitted.scorer(), people(variant("plain"))
    assert not scorer.can_score
    ids, scores = scorer.topk(users, 8, users.history)
    first, _ = fitted.base.scorer().topk(users, 100, users.history)
    assert ids.shape == scores.shape == (N_USERS, 8) and not np.array_equal(ids, first[:, :8])
    for row in range(N_USERS):
        mine = ids[row][ids[row] >= 0]
        assert len(set(mine.tolist())) == len(mine) and set(mine.tolist()) <= set(first[row].tolist())
        assert not set(mine.tolist()) & set(users.history[row].tolist())


def test_no_diversity_keeps_the_order(fitted):
    plain = type(fitted)(base=BASE, diversity=0.0).fit(variant("plain"), seed=0)
    users = people(variant("plain"))
    ids, scores = plain.scorer().topk(users, 10)
    first, values = plain.base.scorer().topk(users, 10)
    assert np.array_equal(ids, first) and np.array_equal(scores, values)


def test_it_is_judged_saved_and_recommends(fitted, tmp_path):
    judged = evaluate(fitted, variant("plain"))
    assert judged.about["task"] == "rerank" and judged.about["headline"] == "ndcg@10" and judged.metrics["ndcg@10"] > 0
    back = palate.restore(fitted.save(tmp_path / "run"))
    table = fitted.recommend(["u03"], k=5)
    again = back.recommend(["u03"], k=5)
    assert again["item"].equals(table["item"]) and table["rank"].to_list() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(again["score"], table["score"], rtol=1e-5)
    ids, _ = back.scorer().topk(visitors([[2, 6], []]), 5)
    assert ids.shape == (2, 5)


def test_its_base_is_a_matcher():
    with pytest.raises(ConfigError, match="matcher"):
        models.get("mmr")(base="din")
    with pytest.raises(UnsupportedError, match="vectors"):
        models.get("mmr")(base="popularity").fit(variant("plain")).scorer()


def test_batched_mmr_is_mmr_of_each_list():
    rng = np.random.default_rng(0)
    relevance, vectors = rng.random((7, 12), np.float32), rng.normal(size=(7, 12, 3)).astype(np.float32)
    known = rng.random((7, 12)) < 0.8
    known[0] = False
    for diversity in (0.0, 0.4, 1.0):
        lists = mmr_lists(relevance, vectors, 6, diversity, known)
        assert (lists[0] == -1).all()
        for row in range(1, 7):
            at = np.flatnonzero(known[row])
            one = at[mmr(relevance[row, at], vectors[row, at], 6, diversity)]
            assert lists[row][: len(one)].tolist() == one.tolist() and (lists[row][len(one) :] == -1).all()
