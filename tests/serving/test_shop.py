"""A shop: it answers as its run does, and what happens in it counts at once, in every process, and after a restart."""

import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palate
from palate.core.errors import ConfigError, DataError, FeatureError, UnsupportedError
from palate.serving.events import Event
from palate.serving.goods import merged
from palate.serving.shop import Shop, UnknownItem
from palate.serving.wishes import Wish


def ids(told):
    return [one.id for one in told.items]


def lamp(**more):
    return {"title": "Umberly lamp", "description": "A lamp made of clay.", "category": "lighting", "price": 50, **more}


@pytest.mark.parametrize("name", ["knn", "vectors", "blend"])
def test_it_answers_as_the_run_does(opened, name):
    shop = opened(name)
    model = palate.restore(shop.edition.run)
    for user in list(shop.edition.users)[:5]:
        expected = model.recommend(users=[user], k=7)
        told = shop.recommend(Wish(7, user=user))
        assert ids(told) == expected["item"].to_list() and told.said_by == "match"
        np.testing.assert_allclose([one.score for one in told.items], expected["score"].to_numpy(), rtol=1e-4)
    liked = ids(shop.recommend(Wish(3)))
    assert ids(shop.recommend(Wish(5, liked=liked))) == model.recommend(history=liked, k=5)["item"].to_list()
    assert ids(shop.similar(liked[0], 5)) == model.similar_items(liked[0], k=5)["item"].to_list()


def test_another_engine_may_hold_the_index(opened):
    pytest.importorskip("qdrant_client")
    own, other = opened("vectors"), opened("vectors", state="other", engine=":memory:")
    assert type(other.edition.voices["main"].index).__name__ == "QdrantIndex"
    for user in list(own.edition.users)[:5]:
        for filters in ({}, {"price": {"min": 60}}):
            wish = Wish(7, user=user, filters=filters)
            assert ids(other.recommend(wish)) == ids(own.recommend(wish))
    best = ids(own.recommend(Wish(1, user=user)))[0]
    other.drop(best)
    assert best not in ids(other.recommend(Wish(80, user=user)))


def test_who_is_unknown_gets_what_is_popular(opened):
    shop = opened()
    counts = np.bincount(shop.edition.deployment.seen.items, minlength=len(shop.edition))
    told = shop.recommend(Wish(5, user="nobody"))
    assert told.said_by == "popular" and [one.score for one in told.items] == sorted(counts, reverse=True)[:5]
    assert ids(told) == ids(shop.recommend(Wish(5))) == ids(shop.recommend(Wish(5, liked=[])))


def test_events_count_at_once(opened):
    shop = opened()
    first = ids(shop.recommend(Wish(10, user="ada")))
    assert shop.log([Event("ada", first[0], "like"), Event("ada", first[1], "hide")]) == 2
    now = ids(shop.recommend(Wish(10, user="ada")))
    assert not {*first[:2]} & {*now} and now == ids(shop.recommend(Wish(10, liked=[first[0]], exclude=[first[1]])))
    shop.log([Event("ada", first[1], "click")])
    liked = shop.person(shop.edition, "ada", None)
    assert liked.hidden.tolist() == [] and liked.liked.tolist() == [shop.edition.row(one) for one in first[:2]]
    shop.log([Event("ada", first[0], "hide")])
    assert shop.person(shop.edition, "ada", None).liked.tolist() == [shop.edition.row(first[1])]
    known = next(iter(shop.edition.users))
    best = ids(shop.recommend(Wish(1, user=known)))[0]
    shop.log([Event(known, best, "click")])
    assert best not in ids(shop.recommend(Wish(80, user=known)))
    assert best in ids(shop.recommend(Wish(80, user=known, seen=True)))
    with pytest.raises(UnknownItem, match=r"row 2.*nothing"):
        shop.log([Event("ada", first[2]), Event("ada", "nothing")])
    assert shop.events.count() == 5, "all or none"


def test_filters_and_exclusions_hold_in_every_list(opened):
    shop = opened()
    frame = shop.edition.items.frame
    dear = {"price": {"min": 60}, "category": frame["category"][0]}
    may = set(frame.filter((frame["price"] >= 60) & (frame["category"] == frame["category"][0]))["item_id"])
    known = next(iter(shop.edition.users))
    for wish in ({"user": known}, {}, {"text": "lamp"}, {"like": frame["item_id"][0]}):
        found = ids(shop.recommend(Wish(80, filters=dear, **wish)))
        assert found and set(found) <= may
        assert found[0] not in ids(shop.recommend(Wish(80, filters=dear, exclude=found[:1], **wish)))
    with pytest.raises(DataError, match="price"):
        shop.recommend(Wish(filters={"prize": 3}))


def test_items_come_change_and_go(opened, world):
    shop = opened()
    picture = (world / palate.load(world).items.frame["image"].drop_nulls()[0]).read_bytes()
    size = len(shop.edition)
    assert shop.put([("new", lamp(), picture), ("bare", {}, None)]) == ["added", "added"]
    assert "new" in ids(shop.recommend(Wish(5, text="Umberly lamp made of clay"))) and len(shop.edition) == size + 2
    assert "new" in ids(shop.recommend(Wish(3, picture=picture)))
    twin = ids(shop.similar("new", 80))
    assert twin and "new" not in twin and shop.edition.items.frame["price"][-2] == 50
    assert shop.put([("new", {"title": "Corvo flute", "description": "A flute."}, None)]) == ["updated"]
    row = shop.edition.items.frame.row(size, named=True)
    assert (row["title"], row["price"], row["item_id"]) == ("Corvo flute", 50.0, "new")
    assert "new" not in ids(shop.recommend(Wish(5, text="Umberly lamp made of clay")))
    shop.drop("new")
    with pytest.raises(UnknownItem):
        shop.similar("new")
    with pytest.raises(UnknownItem):
        shop.drop("new")
    assert "new" not in ids(shop.recommend(Wish(200)))
    assert shop.put([("new", {"title": "Umberly lamp"}, None)]) == ["added"]
    row = shop.edition.items.frame.row(size, named=True)
    assert (row["title"], row["price"]) == ("Umberly lamp", None), "nothing of what was removed comes back"
    first = shop.edition.ids[0]
    assert shop.put([(first, {"price": 1}, None)]) == ["updated"] and len(shop.edition) == size + 2
    assert ids(shop.recommend(Wish(5, filters={"price": {"max": 1}}))) == [first]


@pytest.mark.parametrize(
    "bad, told",
    [
        ([("a", {"titel": "x"}, None)], "title"),
        ([("a", {"price": "cheap"}, None)], "price"),
        ([("a", {"image": "/etc/passwd"}, None)], "send the picture itself"),
        ([("a", {"item_id": "b"}, None)], "files or ids"),
        ([("a", {}, b"GIF89a")], "picture"),
        ([("a", {}, None), ("a", {}, None)], "twice"),
    ],
)
def test_what_cannot_be_put_leaves_nothing(opened, bad, told):
    shop = opened()
    size = len(shop.edition)
    with pytest.raises((DataError, FeatureError), match=told):
        shop.put([("good", lamp(), None), *bad])
    assert len(shop.edition) == size and shop.additions.last() == 0 and shop.edition.row("good") < 0


def test_two_shops_share_everything(opened):
    one, two = opened(), opened()
    one.put([("new", lamp(), None)])
    assert two.similar("new", 5) and two.edition.row("new") >= 0, "who asks for it by name need not wait"
    assert ids(one.recommend(Wish(5, text="Umberly lamp"))) == ids(two.recommend(Wish(5, text="Umberly lamp")))
    two.drop("new")
    assert "new" not in ids(one.recommend(Wish(200))), "gone before the next answer"
    best = ids(one.recommend(Wish(1)))[0]
    one.drop(best)
    assert best not in ids(two.recommend(Wish(200))) and best not in ids(two.recommend(Wish(80, text="lamp")))
    one.log([Event("ada", ids(one.recommend(Wish(1)))[0], "like")])
    assert ids(one.recommend(Wish(5, user="ada"))) == ids(two.recommend(Wish(5, user="ada")))
    assert two.recommend(Wish(5, user="ada")).said_by == "match"


def test_an_item_put_elsewhere_comes_by_itself(opened):
    one, two = opened(), opened(watch=0.02)
    one.put([("new", lamp(), None)])
    assert wait(lambda: two.edition.row("new") >= 0)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "drop"]), st.sampled_from("abcd"), st.sampled_from(["lamp", "flute", None])),
    max_size=12,
)


@settings(deadline=None, max_examples=6)
@given(OPERATIONS, st.lists(st.booleans(), min_size=12, max_size=12))
@pytest.mark.parametrize("name", ["knn", "vectors"])
def test_whoever_takes_in_the_log_gets_the_same_shop(runs, tmp_path_factory, name, operations, looks):
    state = tmp_path_factory.mktemp("state")
    one, two = (Shop(runs(name), state, watch=0) for _ in range(2))
    there = set()
    for (what, item, title), look in zip(operations, looks):
        shop = one if look else two
        if what == "put":
            shop.put([(item, {} if title is None else {"title": title}, None)])
            there.add(item)
        elif item in there:
            shop.drop(item)
            there.remove(item)
    late = Shop(runs(name), state, watch=0)
    for shop in (one, two):
        shop._catch_up()
    shops = (one, two, late)
    assert {item for item in "abcd" if late.edition.row(item) >= 0} == there
    known = next(iter(late.edition.users))
    assert len({tuple(s.edition.ids) for s in shops}) == 1, "every item has the same row everywhere"
    assert len({tuple(np.flatnonzero(s.edition.alive)) for s in shops}) == 1
    for wish in (Wish(90, user=known), Wish(90, liked=late.edition.ids[:2]), Wish(90)):
        assert len({tuple(ids(s.recommend(wish))) for s in shops}) == 1
    for shop in shops:
        shop.close()


@settings(max_examples=50)
@given(OPERATIONS, st.integers(0, 12))
def test_a_log_comes_to_the_same_in_parts(operations, cut):
    log = [(item, {"title": title} if what == "put" else None, None, 0.0) for what, item, title in operations]
    parts = [merged(log[:cut]), merged(log[cut:])]
    whole, gone = merged(log)
    order = dict.fromkeys(name for goods, _ in parts for name in goods.ids)
    assert list(order) == whole.ids, "rows are given in the order of the first put"
    state: dict = {}
    for goods, gone_too in parts:
        for name, fields, anew in zip(goods.ids, goods.fields, goods.anew):
            state[name] = {**({} if anew else state.get(name, {})), **fields}
        for name in gone_too:
            state.pop(name, None)
    left = {name: dict(fields) for name, fields in zip(whole.ids, whole.fields) if name not in gone}
    assert state == left


def test_a_new_run_takes_over(opened, runs, tmp_path):
    shop = opened(watch=0.02)
    shop.put([("new", lamp(), None)])
    before, known = shop.edition.mark, next(iter(shop.edition.users))
    other = shutil.copytree(runs("blend"), tmp_path / "other")
    old = shop.run.rename(tmp_path / "old")
    other.rename(shop.run)
    assert wait(lambda: shop.edition.mark != before)
    model = palate.restore(runs("blend"))
    assert "new" in ids(shop.recommend(Wish(5, text="Umberly lamp made of clay"))), "what was put stays"
    shop.put([("newer", lamp(), None)])
    shop.drop("newer")
    told = [one for one in ids(shop.recommend(Wish(90, user=known))) if one != "new"]
    assert told[:20] == model.recommend(users=[known], k=90)["item"].to_list()[:20]
    assert old.exists()


def test_what_is_no_run_changes_nothing(opened, tmp_path, caplog):
    shop = opened(watch=0.02)
    mark = shop.edition.mark
    (shop.run / "manifest.json").write_text("{}")
    assert wait(lambda: "nothing new was taken in" in caplog.text)
    assert shop.edition.mark == mark and ids(shop.recommend(Wish(5)))


@pytest.mark.parametrize("name", ["knn", "vectors"])
def test_forgetting_a_user(opened, name):
    shop, other = opened(name), opened(name)
    known = next(user for user, row in shop.edition.users.items() if len(shop.edition.deployment.seen[row]) > 2)
    popular = ids(shop.recommend(Wish(5)))
    for one in (shop, other):
        one.log([Event(known, popular[0], "like")])
        assert one.recommend(Wish(5, user=known)).said_by == "match"
    assert shop.forget(known) == (2, True)
    for one in (shop, other):
        assert one.recommend(Wish(5, user=known)).said_by == "popular"
    assert shop.forget("nobody") == (0, False)
    anew = opened(name)
    assert known not in anew.edition.users and known.encode() not in (shop.state / "shop.db").read_bytes()
    row = shop.edition.users[known]
    assert len(anew.edition.deployment.seen[row]) == 0
    for held, now in zip(shop.edition.model.state_dict().values(), anew.edition.model.state_dict().values()):
        if len(held) == len(shop.edition.users) and held.ndim == 2:
            assert held[row].abs().sum() > 0 == now[row].abs().sum()
            assert (held[np.arange(len(held)) != row] == now[np.arange(len(held)) != row]).all()
    stranger = next(user for user in anew.edition.users if user != known)
    assert len(anew.edition.users) == len(shop.edition.users) - 1
    assert ids(anew.recommend(Wish(5, user=stranger))) == ids(shop.recommend(Wish(5, user=stranger)))


def test_who_was_forgotten_stays_so_when_the_run_still_knows_them(opened):
    shop = opened()
    known = next(iter(shop.edition.users))
    # as if the process had been killed before the run was scrubbed
    shop.events.forget(known)
    assert shop.recommend(Wish(5, user=known)).said_by == "popular"
    opened()
    assert known not in opened().edition.users


def test_several_models_may_answer(opened, runs):
    shop = opened("blend", beside=[runs("vectors")])
    known = next(iter(shop.edition.users))
    assert shop.voices == ["main", "ease_content", "content_knn", "vectors"]
    lists = {name: ids(shop.recommend(Wish(10, user=known, model=name))) for name in shop.voices}
    assert lists["vectors"] == palate.restore(runs("vectors")).recommend(users=[known], k=10)["item"].to_list()
    assert len({tuple(found) for found in lists.values()}) == 4
    with pytest.raises(ConfigError, match="ease_content"):
        shop.recommend(Wish(model="ease"))
    shop.put([("new", lamp(), None)])
    assert shop.editions["vectors"].row("new") >= 0


def test_sliders(opened):
    shop = opened()
    known = next(iter(shop.edition.users))
    shop.put([("new", lamp(), None)])
    assert shop.edition.newness[-1] == 1 > shop.edition.newness[:-1].max() and shop.edition.novelty[-1] == 1
    plain = shop.recommend(Wish(10, user=known))
    fresh = shop.recommend(Wish(80, user=known, freshness=1.0))
    assert ids(fresh)[0] == "new" and fresh.said_by == "lean"
    newness = [shop.edition.newness[shop.edition.row(one)] for one in ids(fresh)]
    assert newness == sorted(newness, reverse=True)
    far = shop.recommend(Wish(10, user=known, diversity=1.0))
    assert ids(far)[0] == ids(plain)[0] and far.said_by == "diversify"

    def spread(told):
        looks = shop.edition.looks(np.array([shop.edition.row(one) for one in ids(told)]))
        return (looks @ looks.T).sum()

    assert spread(far) < spread(plain)


def test_words_need_words_and_a_space(opened):
    shop = opened()
    first = shop.edition.ids[0]
    with pytest.raises(FeatureError, match="no word"):
        shop.recommend(Wish(text="zzzz qqqq"))
    with pytest.raises(UnsupportedError, match=r"text: tfidf, image: image_stats.*--model clip"):
        shop.recommend(Wish(text="red", like=first))
    assert first not in ids(shop.recommend(Wish(90, like=first)))


def test_words_change_what_is_shown(shared_run, opened):
    shop = opened(shared_run)
    edition = shop.edition
    row = int(np.flatnonzero(edition.features["image"].present)[0])
    found = ids(shop.recommend(Wish(5, like=edition.ids[row], text="made of glass")))
    words = edition.content.encoders["text"].encode(["made of glass"]).values[0]
    query = edition.features["image"].values[row] + words
    total, there = np.zeros(len(edition)), np.zeros(len(edition))
    for name in ("text", "image"):
        vectors = edition.features[name]
        scores = vectors.values @ query
        scores = (scores - scores[vectors.present].mean()) / scores[vectors.present].std()
        total += np.where(vectors.present, scores, 0)
        there += vectors.present
    score = np.where(there > 0, total / np.maximum(there, 1), -np.inf)
    score[row] = -np.inf
    assert found == [edition.ids[at] for at in np.argsort(-score, kind="stable")[:5]]
    picture = (edition.items.root / edition.items.frame["image"][row]).read_bytes()
    assert len(ids(shop.recommend(Wish(5, picture=picture, text="made of glass")))) == 5


def wait(done, seconds=20.0):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()
