"""Explanations are differences of scores: histories without an item, items without a modality."""

import numpy as np
import pytest

import palate
from palate.serving.explain import leave_one_out, to_sentence
from palate.serving.requests import Explanation, HistoryShare, RecommendRequest, SharedValue

LAMP = {
    "title": "Umberly lamp",
    "description": "A lamp made of clay, round.",
    "category": "lighting",
    "brand": "Umberly",
}


def scores(service, liked):
    return {one.id: one.score for one in service.recommend(RecommendRequest(200, history=liked)).items}


@pytest.mark.parametrize("name", ["knn", "vectors", "blend"])
def test_the_share_of_a_history_item_is_the_loss_without_it(opened, name):
    service = opened(name)
    snapshot, served = service.resolve_model(None)
    model = palate.restore(snapshot.run)
    liked = snapshot.deployment.seen.take(np.array([0]))[0][:4]
    rows = np.array([at for at in np.flatnonzero(served.eligible) if at not in liked][:5])
    losses = leave_one_out(served, liked, rows)

    def score(history):
        table = model.recommend(history=[snapshot.ids[at] for at in history], k=200, filter_seen=False)
        by_id = dict(zip(table["item"], table["score"]))
        return np.array([by_id[snapshot.ids[at]] for at in rows])

    for at in range(len(liked)):
        expected = score(liked) - score(np.delete(liked, at))
        np.testing.assert_allclose(losses[at], expected, rtol=1e-3, atol=1e-4)
    why = service.explain(snapshot.ids[rows[0]], history=[snapshot.ids[at] for at in liked])
    positive = np.maximum(losses[:, 0], 0)
    shares = dict(zip((snapshot.ids[at] for at in liked), positive / max(positive.sum(), 1e-12)))
    assert {name: share for name, _, share in why.history} == pytest.approx(
        {n: s for n, s in shares.items() if s > 0}, rel=1e-3
    )


def test_the_share_of_a_modality_is_the_loss_without_it(opened):
    service = opened()
    texts = {column: value for column, value in LAMP.items() if column in ("title", "description")}
    rest = {column: value for column, value in LAMP.items() if column not in texts}
    service.put_items([("whole", LAMP, None), ("words", texts, None), ("values", rest, None)])
    liked = [one.id for one in service.recommend(RecommendRequest(3, filters={"category": "lighting"})).items]
    found, why = scores(service, liked), service.explain("whole", history=liked)
    if "words" not in found:
        # this model reads no text here, and an item with nothing else is unknown to it
        snapshot, served = service.resolve_model(None)
        who = service.user_state(snapshot, None, liked)
        every = served.scorer.score(snapshot.user_batch(-1, who.history, True))[0].numpy()
        found["words"] = float(every[served.eligible].mean())
    losses = {"text": found["whole"] - found["values"], "attributes": found["whole"] - found["words"]}
    losses = {name: max(loss, 0) for name, loss in losses.items()}
    total = sum(losses.values())
    assert total > 0 and why.behaviour == pytest.approx(0, abs=1e-6)
    assert dict(why.modalities) == pytest.approx({n: v / total for n, v in losses.items()}, rel=1e-3, abs=1e-4)
    assert why.score == pytest.approx(found["whole"], rel=1e-4)
    assert ("category", "lighting", tuple(liked)) in why.attributes
    assert len(service.snapshot) == 83, "copies of the item are gone afterwards"


def test_behaviour_counts_where_the_model_knows_it(opened):
    service = opened("vectors")
    known = next(iter(service.snapshot.users))
    why = service.explain(service.recommend(RecommendRequest(1, user=known)).items[0].id, user=known)
    assert why.modalities == () and why.behaviour is None, "a model that reads no content attributes nothing to it"
    service = opened("blend")
    best = service.recommend(RecommendRequest(10, user=known)).items
    sums = [sum(share for _, share in why.modalities) + why.behaviour for why in map(explanation(service, known), best)]
    assert sums[0] in (0, pytest.approx(1)) and pytest.approx(1) in sums


def explanation(service, user):
    return lambda one: service.explain(one.id, user=user)


def test_a_sentence_names_what_was_found():
    found = Explanation(
        "a", "A", 1.0, (HistoryShare("b", "Bell", 0.7), HistoryShare("c", "Clock", 0.05)),
        (("text", 0.6), ("image", 0.0)), 0.4, (SharedValue("category", "lamp", ("b",)),), "",
    )  # fmt: skip
    text = to_sentence(found).text
    assert text == (
        "Recommended because you liked Bell. It has a similar text (60%) and shares lamp. "
        "The choices of other people count for 40%"
    )
    assert to_sentence(Explanation("a", "A", 0.0, (), (), None, (), "")).text.startswith("Nothing")
