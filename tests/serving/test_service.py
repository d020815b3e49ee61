"""The service answers as its run does; what happens in it counts at once, in every process, and after a restart."""

import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palate
from palate.core.errors import ConfigError, DataError, FeatureError, UnsupportedError
from palate.serving.catalog_updates import fold_updates
from palate.serving.events import Event
from palate.serving.item_similarity import item_similarity
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService, UnknownItem


def ids(response):
    return [item.id for item in response.items]


def lamp(**more):
    return {"title": "Umberly lamp", "description": "A lamp made of clay.", "category": "lighting", "price": 50, **more}


@pytest.mark.parametrize("name", ["knn", "vectors", "blend"])
def test_answers_are_those_of_the_run(opened, name):
    service = opened(name)
    model = palate.restore(service.snapshot.run)
    taken = service.snapshot.deployment.seen.lengths
    some = list(service.snapshot.users.items())[:5]
    for user, row in some:
        expected = model.recommend(users=[user], k=7)
        response = service.recommend(RecommendRequest(7, user=user))
        source = "match" if taken[row] else "popular"
        assert ids(response) == expected["item"].to_list() and response.source == source
        np.testing.assert_allclose([one.score for one in response.items], expected["score"].to_numpy(), rtol=1e-4)
    liked = ids(service.recommend(RecommendRequest(3)))
    assert (
        ids(service.recommend(RecommendRequest(5, history=liked)))
        == model.recommend(history=liked, k=5)["item"].to_list()
    )
    similarity = item_similarity(service.resolve_model(None), service.snapshot.row(liked[0]))
    similarity[[service.snapshot.row(liked[0]), *np.flatnonzero(~service.snapshot.active)]] = -np.inf
    best = np.argsort(-similarity, kind="stable")[:5]
    assert ids(service.similar_items(liked[0], 5)) == [service.snapshot.ids[row] for row in best]


def test_a_qdrant_index_gives_the_same_lists(opened):
    pytest.importorskip("qdrant_client")
    own, other = opened("vectors"), opened("vectors", state="other", index_url=":memory:")
    assert type(other.snapshot.models["main"].index).__name__ == "QdrantIndex"
    for user in list(own.snapshot.users)[:5]:
        for filters in ({}, {"price": {"min": 60}}):
            request = RecommendRequest(7, user=user, filters=filters)
            assert ids(other.recommend(request)) == ids(own.recommend(request))
    best = ids(own.recommend(RecommendRequest(1, user=user)))[0]
    other.remove_item(best)
    assert best not in ids(other.recommend(RecommendRequest(80, user=user)))


def test_an_unknown_user_gets_popular_items(opened):
    service = opened()
    counts = np.bincount(service.snapshot.deployment.seen.items, minlength=len(service.snapshot))
    response = service.recommend(RecommendRequest(5, user="nobody"))
    assert response.source == "popular" and [one.score for one in response.items] == sorted(counts, reverse=True)[:5]
    assert (
        ids(response)
        == ids(service.recommend(RecommendRequest(5)))
        == ids(service.recommend(RecommendRequest(5, history=[])))
    )


def test_events_count_at_once(opened):
    service = opened()
    first = ids(service.recommend(RecommendRequest(10, user="ada")))
    assert len(service.log_events([Event("ada", first[0], "like"), Event("ada", first[1], "hide")]).places) == 2
    now = ids(service.recommend(RecommendRequest(10, user="ada")))
    assert not {*first[:2]} & {*now} and now == ids(
        service.recommend(RecommendRequest(10, history=[first[0]], exclude=[first[1]]))
    )
    service.log_events([Event("ada", first[1], "click")])
    liked = service.user_state(service.snapshot, "ada", None)
    assert liked.hidden.tolist() == [] and liked.history.tolist() == [service.snapshot.row(one) for one in first[:2]]
    service.log_events([Event("ada", first[0], "hide")])
    assert service.user_state(service.snapshot, "ada", None).history.tolist() == [service.snapshot.row(first[1])]
    known = next(iter(service.snapshot.users))
    best = ids(service.recommend(RecommendRequest(1, user=known)))[0]
    service.log_events([Event(known, best, "click")])
    assert best not in ids(service.recommend(RecommendRequest(80, user=known)))
    assert best in ids(service.recommend(RecommendRequest(80, user=known, include_seen=True)))
    with pytest.raises(UnknownItem, match=r"row 2.*nothing"):
        service.log_events([Event("ada", first[2]), Event("ada", "nothing")])
    assert service.events.count() == 5, "all or none"


def test_filters_and_exclusions_hold_in_every_list(opened):
    service = opened()
    frame = service.snapshot.items.frame
    dear = {"price": {"min": 60}, "category": frame["category"][0]}
    may = set(frame.filter((frame["price"] >= 60) & (frame["category"] == frame["category"][0]))["item_id"])
    known = next(iter(service.snapshot.users))
    title = frame.filter((frame["price"] >= 60) & (frame["category"] == frame["category"][0]))["title"][0]
    for request in ({"user": known}, {}, {"text": title}, {"similar_to": frame["item_id"][0]}):
        found = ids(service.recommend(RecommendRequest(80, filters=dear, **request)))
        assert found and set(found) <= may
        assert found[0] not in ids(service.recommend(RecommendRequest(80, filters=dear, exclude=found[:1], **request)))
    with pytest.raises(DataError, match="price"):
        service.recommend(RecommendRequest(filters={"prize": 3}))


def test_items_are_added_changed_and_removed(opened, world):
    service = opened()
    picture = (world / palate.load(world).items.frame["image"].drop_nulls()[0]).read_bytes()
    size = len(service.snapshot)
    assert service.put_items([("new", lamp(), picture), ("bare", {}, None)]) == ["added", "added"]
    assert (
        "new" in ids(service.recommend(RecommendRequest(5, text="Umberly lamp made of clay")))
        and len(service.snapshot) == size + 2
    )
    assert "new" in ids(service.recommend(RecommendRequest(3, image=picture)))
    twin = ids(service.similar_items("new", 80))
    assert twin and "new" not in twin and service.snapshot.items.frame["price"][-2] == 50
    assert service.put_items([("new", {"title": "Corvo flute", "description": "A flute."}, None)]) == ["updated"]
    row = service.snapshot.items.frame.row(size, named=True)
    assert (row["title"], row["price"], row["item_id"]) == ("Corvo flute", 50.0, "new")
    assert "new" not in ids(service.recommend(RecommendRequest(5, text="Umberly lamp made of clay")))
    service.remove_item("new")
    with pytest.raises(UnknownItem):
        service.similar_items("new")
    with pytest.raises(UnknownItem):
        service.remove_item("new")
    assert "new" not in ids(service.recommend(RecommendRequest(200)))
    assert service.put_items([("new", {"title": "Umberly lamp"}, None)]) == ["added"]
    row = service.snapshot.items.frame.row(size, named=True)
    assert (row["title"], row["price"]) == ("Umberly lamp", None), "a removed item keeps no value"
    first = service.snapshot.ids[0]
    assert service.put_items([(first, {"price": 1}, None)]) == ["updated"] and len(service.snapshot) == size + 2
    assert ids(service.recommend(RecommendRequest(5, filters={"price": {"max": 1}}))) == [first]


@pytest.mark.parametrize(
    "bad, message",
    [
        ([("a", {"titel": "x"}, None)], "title"),
        ([("a", {"price": "cheap"}, None)], "price"),
        ([("a", {"image": "/etc/passwd"}, None)], "send the image itself"),
        ([("a", {"item_id": "b"}, None)], "files or ids"),
        ([("a", {}, b"GIF89a")], "picture"),
        ([("a", {}, None), ("a", {}, None)], "twice"),
    ],
)
def test_an_invalid_update_changes_nothing(opened, bad, message):
    service = opened()
    size = len(service.snapshot)
    with pytest.raises((DataError, FeatureError), match=message):
        service.put_items([("good", lamp(), None), *bad])
    assert len(service.snapshot) == size and service.catalog_log.last() == 0 and service.snapshot.row("good") < 0


def test_two_services_share_everything(opened):
    one, two = opened(), opened()
    one.put_items([("new", lamp(), None)])
    assert two.similar_items("new", 5) and two.snapshot.row("new") >= 0, (
        "a request that names the item does not wait for polling"
    )
    assert ids(one.recommend(RecommendRequest(5, text="Umberly lamp"))) == ids(
        two.recommend(RecommendRequest(5, text="Umberly lamp"))
    )
    two.remove_item("new")
    assert "new" not in ids(one.recommend(RecommendRequest(200))), "removed before the next answer"
    best = ids(one.recommend(RecommendRequest(1)))[0]
    one.remove_item(best)
    assert best not in ids(two.recommend(RecommendRequest(200))) and best not in ids(
        two.recommend(RecommendRequest(80, text="lamp"))
    )
    one.log_events([Event("ada", ids(one.recommend(RecommendRequest(1)))[0], "like")])
    assert ids(one.recommend(RecommendRequest(5, user="ada"))) == ids(two.recommend(RecommendRequest(5, user="ada")))
    assert two.recommend(RecommendRequest(5, user="ada")).source == "match"


def test_an_item_of_another_process_appears_by_polling(opened):
    one, two = opened(), opened(poll_seconds=0.02)
    one.put_items([("new", lamp(), None)])
    assert wait(lambda: two.snapshot.row("new") >= 0)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "drop"]), st.sampled_from("abcd"), st.sampled_from(["lamp", "flute", None])),
    max_size=12,
)


@settings(deadline=None, max_examples=6)
@given(OPERATIONS, st.lists(st.booleans(), min_size=12, max_size=12))
@pytest.mark.parametrize("name", ["knn", "vectors"])
def test_every_process_that_applies_the_log_reaches_the_same_state(
    runs, tmp_path_factory, name, operations, first_answers
):
    state = tmp_path_factory.mktemp("state")
    one, two = (RecommenderService(runs(name), state, poll_seconds=0) for _ in range(2))
    present = set()
    for (kind, item, title), first in zip(operations, first_answers):
        service = one if first else two
        if kind == "put":
            service.put_items([(item, {} if title is None else {"title": title}, None)])
            present.add(item)
        elif item in present:
            service.remove_item(item)
            present.remove(item)
    late = RecommenderService(runs(name), state, poll_seconds=0)
    for service in (one, two):
        service.replication.apply_log()
    services = (one, two, late)
    assert {item for item in "abcd" if late.snapshot.row(item) >= 0} == present
    known = next(iter(late.snapshot.users))
    assert len({tuple(s.snapshot.ids) for s in services}) == 1, "every item has the same row everywhere"
    assert len({tuple(np.flatnonzero(s.snapshot.active)) for s in services}) == 1
    for request in (
        RecommendRequest(90, user=known),
        RecommendRequest(90, history=late.snapshot.ids[:2]),
        RecommendRequest(90),
    ):
        assert len({tuple(ids(s.recommend(request))) for s in services}) == 1
    for service in services:
        service.close()


@settings(max_examples=50)
@given(OPERATIONS, st.integers(0, 12))
def test_a_log_folded_in_parts_gives_the_same_update(operations, cut):
    log = [(item, {"title": title} if kind == "put" else None, None, 0.0) for kind, item, title in operations]
    parts = [fold_updates(log[:cut]), fold_updates(log[cut:])]
    whole, removed = fold_updates(log)
    order = dict.fromkeys(name for update, _ in parts for name in update.ids)
    assert list(order) == whole.ids, "rows are given in the order of the first put"
    state: dict = {}
    for update, removed_too in parts:
        for name, fields, is_new in zip(update.ids, update.fields, update.is_new):
            state[name] = {**({} if is_new else state.get(name, {})), **fields}
        for name in removed_too:
            state.pop(name, None)
    left = {name: dict(fields) for name, fields in zip(whole.ids, whole.fields) if name not in removed}
    assert state == left


def test_a_replaced_run_is_reloaded(opened, runs, tmp_path):
    service = opened(poll_seconds=0.02)
    service.put_items([("new", lamp(), None)])
    before, known = service.snapshot.fingerprint, next(iter(service.snapshot.users))
    other = shutil.copytree(runs("blend"), tmp_path / "other")
    old = service.run.rename(tmp_path / "old")
    other.rename(service.run)
    assert wait(lambda: service.snapshot.fingerprint != before)
    model = palate.restore(runs("blend"))
    assert "new" in ids(service.recommend(RecommendRequest(5, text="Umberly lamp made of clay"))), "added items stay"
    service.put_items([("newer", lamp(), None)])
    service.remove_item("newer")
    response = [one for one in ids(service.recommend(RecommendRequest(90, user=known))) if one != "new"]
    assert response[:20] == model.recommend(users=[known], k=90)["item"].to_list()[:20]
    assert old.exists()


def test_a_damaged_run_is_not_loaded(opened, tmp_path, caplog):
    service = opened(poll_seconds=0.02)
    before = service.snapshot.fingerprint
    (service.run / "manifest.json").write_text("{}")
    assert wait(lambda: "could not be loaded" in caplog.text)
    assert service.snapshot.fingerprint == before and ids(service.recommend(RecommendRequest(5)))


@pytest.mark.parametrize("name", ["knn", "vectors"])
def test_erasing_a_user(opened, name):
    service, other = opened(name), opened(name)
    known = next(user for user, row in service.snapshot.users.items() if len(service.snapshot.deployment.seen[row]) > 2)
    popular = ids(service.recommend(RecommendRequest(5)))
    for one in (service, other):
        one.log_events([Event(known, popular[0], "like")])
        assert one.recommend(RecommendRequest(5, user=known)).source == "match"
    row = service.snapshot.users[known]
    assert service.erase_user(known) == (2, True, True) and known not in service.snapshot.users
    for one in (service, other):
        assert one.recommend(RecommendRequest(5, user=known)).source == "popular"
    assert service.erase_user("nobody") == (0, False, True) == service.erase_user(known)
    reopened = opened(name)
    assert known not in reopened.snapshot.users and known.encode() not in (service.state / "shop.db").read_bytes()
    assert len(reopened.snapshot.deployment.seen[row]) == 0
    for held, now in zip(service.snapshot.model.state_dict().values(), reopened.snapshot.model.state_dict().values()):
        if len(held) == len(service.snapshot.users) and held.ndim == 2:
            assert held[row].abs().sum() > 0 == now[row].abs().sum()
            assert (held[np.arange(len(held)) != row] == now[np.arange(len(held)) != row]).all()
    stranger = next(user for user in reopened.snapshot.users if user != known)
    assert len(reopened.snapshot.users) == len(service.snapshot.users)
    assert ids(reopened.recommend(RecommendRequest(5, user=stranger))) == ids(
        service.recommend(RecommendRequest(5, user=stranger))
    )


def test_an_erased_user_stays_erased_when_the_run_still_knows_them(opened):
    service = opened()
    known = next(iter(service.snapshot.users))
    # as if the process had been killed before the run was scrubbed
    service.events.erase(known)
    assert service.recommend(RecommendRequest(5, user=known)).source == "popular"
    opened()
    assert known not in opened().snapshot.users


def test_several_models_can_answer(opened, runs):
    service = opened("blend", extra_runs=[runs("vectors")])
    known = next(iter(service.snapshot.users))
    assert service.model_names == ["main", "ease_content", "content_knn", "vectors"]
    lists = {name: ids(service.recommend(RecommendRequest(10, user=known, model=name))) for name in service.model_names}
    assert lists["vectors"] == palate.restore(runs("vectors")).recommend(users=[known], k=10)["item"].to_list()
    assert len({tuple(found) for found in lists.values()}) == 4
    with pytest.raises(ConfigError, match="ease_content"):
        service.recommend(RecommendRequest(model="ease"))
    service.put_items([("new", lamp(), None)])
    assert service.snapshots["vectors"].row("new") >= 0


def test_sliders(opened):
    service = opened()
    known = next(iter(service.snapshot.users))
    service.put_items([("new", lamp(), None)])
    assert (
        service.snapshot.stats.recency[-1] == 1 > service.snapshot.stats.recency[:-1].max()
        and service.snapshot.stats.novelty[-1] == 1
    )
    plain = service.recommend(RecommendRequest(10, user=known))
    fresh = service.recommend(RecommendRequest(80, user=known, freshness=1.0))
    assert ids(fresh)[0] == "new" and fresh.source == "boost"
    recency = [service.snapshot.stats.recency[service.snapshot.row(one)] for one in ids(fresh)]
    assert recency == sorted(recency, reverse=True)
    far = service.recommend(RecommendRequest(10, user=known, diversity=1.0))
    assert ids(far)[0] == ids(plain)[0] and far.source == "diversify"

    def spread(response):
        vectors = service.snapshot.stats.content_vectors(np.array([service.snapshot.row(one) for one in ids(response)]))
        return (vectors @ vectors.T).sum()

    assert spread(far) < spread(plain)


def test_a_text_without_matches_and_a_text_without_a_shared_space(opened):
    service = opened()
    first = service.snapshot.ids[0]
    nothing = service.recommend(RecommendRequest(text="zzzz qqqq"))
    assert nothing.items == () and nothing.notes == ("no good match for 'zzzz qqqq'",)
    with pytest.raises(UnsupportedError, match=r"text: tfidf, image: image_stats.*--model clip"):
        service.recommend(RecommendRequest(text="red", similar_to=first))
    assert first not in ids(service.recommend(RecommendRequest(90, similar_to=first)))


def test_a_text_changes_an_image(shared_run, opened):
    service = opened(shared_run)
    snapshot = service.snapshot
    row = int(np.flatnonzero(snapshot.features["image"].present)[0])
    found = ids(service.recommend(RecommendRequest(5, similar_to=snapshot.ids[row], text="made of glass")))
    words = snapshot.content.encoders["text"].encode(["made of glass"]).values[0]
    query = snapshot.features["image"].values[row] + words
    total, present = np.zeros(len(snapshot)), np.zeros(len(snapshot))
    for name in ("text", "image"):
        vectors = snapshot.features[name]
        scores = vectors.values @ query
        scores = (scores - scores[vectors.present].mean()) / scores[vectors.present].std()
        total += np.where(vectors.present, scores, 0)
        present += vectors.present
    score = np.where(present > 0, total / np.maximum(present, 1), -np.inf)
    score[row] = -np.inf
    assert found == [snapshot.ids[at] for at in np.argsort(-score, kind="stable")[:5]]
    picture = (snapshot.items.root / snapshot.items.frame["image"][row]).read_bytes()
    assert len(ids(service.recommend(RecommendRequest(5, image=picture, text="made of glass")))) == 5


def wait(done, seconds=20.0):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()
