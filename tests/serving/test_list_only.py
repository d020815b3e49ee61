"""A model that only lists, as beam search does, serves lists; what needs scores is refused or left out by name."""

import dataclasses

import numpy as np
import pytest

import palate
from palate.core.batch import RaggedArray, UserBatch
from palate.core.errors import UnsupportedError
from palate.ranking.scorer import PaddedScorer, Scorer
from palate.serving.recommend import SPARE
from palate.serving.requests import RecommendRequest
from palate.serving.stages import Slate


class Lists(Scorer):
    """The lists of another scorer, without its scores of single items."""

    def __init__(self, base):
        super().__init__(base.n_items)
        self.base = base

    @property
    def can_score(self):
        return False

    def scorable(self):
        return self.base.scorable()

    def score(self, users, items=None):
        raise AssertionError("a model that only lists was asked for scores")

    def topk(self, users, k, exclude=None, allowed=None):
        return self.base.topk(users, k, exclude, allowed)


@pytest.fixture
def service(opened):
    """A service with the model ``lists``, which lists as the run's own model does."""
    service = opened("knn")
    models = service.snapshot.models
    models["lists"] = dataclasses.replace(models["main"], name="lists", scorer=Lists(models["main"].scorer), index=None)
    return service


@pytest.fixture
def user(service):
    return next(iter(service.snapshot.users))


def ids(response):
    return [item.id for item in response.items]


@pytest.mark.parametrize("options", [{}, {"novelty": 0.7}, {"freshness": 1.0}, {"diversity": 0.5}])
def test_lists_and_sliders_are_those_of_a_model_that_scores(service, user, options):
    expected = service.recommend(RecommendRequest(8, user=user, **options))
    listed = service.recommend(RecommendRequest(8, user=user, model="lists", **options))
    assert ids(listed) == ids(expected) and listed.source == expected.source and listed.notes == ()
    history = ids(expected)[:2]
    listed = service.recommend(RecommendRequest(5, history=history, model="lists", filters={"price": {"min": 40}}))
    expected = service.recommend(RecommendRequest(5, history=history, filters={"price": {"min": 40}}))
    assert ids(listed) == ids(expected) and listed.source == "match"
    alike = ids(service.similar_items(history[0], 5, model="lists"))
    assert len(alike) == 5 and history[0] not in alike, "by content alone"


def test_reasons_are_left_out_by_name(service, user):
    response = service.recommend(RecommendRequest(5, user=user, include_reasons=True, model="lists"))
    assert response.source == "match" and all(item.reasons == () for item in response.items)
    assert [note for note in response.notes if note.startswith("include_reasons:") and "'lists'" in note] == list(
        response.notes
    )
    scored = service.recommend(RecommendRequest(5, user=user, include_reasons=True))
    assert scored.notes == () and any(item.reasons for item in scored.items)


def test_a_search_leaves_the_user_out_by_name(service, user):
    response = service.recommend(RecommendRequest(5, user=user, text="lamp", model="lists", include_seen=True))
    assert response.source == "match" and ids(response) == ids(service.recommend(RecommendRequest(5, text="lamp")))
    assert len(response.notes) == 1 and response.notes[0].startswith("user:") and "'lists'" in response.notes[0]
    assert service.recommend(RecommendRequest(5, text="lamp", model="lists")).notes == ()


def test_an_explanation_is_refused_by_name(service, user):
    item = ids(service.recommend(RecommendRequest(1, user=user)))[0]
    with pytest.raises(UnsupportedError, match=r"explanation needs scores.*'lists' only lists"):
        service.explain(item, user=user, model="lists")


def test_a_reranker_is_served(opened):
    service = opened("mmr")
    assert service.model_names == ["main", "bpr"], "what it reorders can be compared with"
    model, user = palate.restore(service.snapshot.run), next(iter(service.snapshot.users))
    listed = service.recommend(RecommendRequest(8, user=user))
    assert ids(listed) == model.recommend(users=[user], k=8 + SPARE)["item"].to_list()[:8] and listed.source == "match"
    with pytest.raises(UnsupportedError, match="only lists"):
        service.explain(ids(listed)[0], user=user)
    novel = service.recommend(RecommendRequest(8, user=user, novelty=0.3))
    assert novel.source == "boost" and len(novel.items) == 8


def test_a_reranker_knows_the_attributes_of_new_items(opened):
    service = opened("quotas")
    user, before = next(iter(service.snapshot.users)), service.snapshot.model.groups["category"]
    kind = before.names[0]
    assert service.put_items([("new", {"title": "A new one", "category": kind}, None)]) == ["added"]
    groups = service.snapshot.model.groups["category"]
    assert groups.names[groups.codes[-1, 0]] == kind and len(before.codes) == len(groups.codes) - 1
    response = service.recommend(RecommendRequest(4, user=user))
    rows = [service.snapshot.rows[item.id] for item in response.items]
    shown = [code for code in groups.codes[rows].ravel() if code < len(groups)]
    assert response.source == "match" and len(rows) == 4 and len(set(shown)) == len(shown)


def test_relevance_is_by_rank_where_scores_do_not_order_the_list():
    ordered = Slate(np.array([4, 2, 9]), np.array([3, 1, 1], np.float32))
    np.testing.assert_array_equal(ordered.relevance, ordered.scores)
    reordered = Slate(np.array([4, 2, 9]), np.array([1, 3, 2], np.float32))
    np.testing.assert_array_equal(reordered.relevance, [1, 0.5, 0])
    assert Slate(np.zeros(0, np.int64), np.zeros(0, np.float32)).relevance.tolist() == []


def test_padding_keeps_lists_and_their_limits(service):
    base = Lists(service.snapshot.models["main"].scorer)
    padded, size = PaddedScorer(base, base.n_items + 3), base.n_items
    assert not padded.can_score and not padded.scorable()[size:].any()
    users = UserBatch(np.array([-1]), RaggedArray.of([[1, size + 1, 2]]))
    known = UserBatch(np.array([-1]), RaggedArray.of([[1, 2]]))
    allowed = np.ones(size + 3, bool)
    allowed[4] = False
    rows, scores = padded.topk(users, 6, RaggedArray.of([[3, size + 2]]), allowed)
    expected = base.topk(known, 6, RaggedArray.of([[3]]), allowed[:size])
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
