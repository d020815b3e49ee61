"""Events of all parts as columns, their parts, histories at a moment, questions of ranking."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.histories import Histories
from palate.data.load import load, write
from palate.data.splits import TEST, TRAIN, UNKNOWN_TIME, VALID

KINDS = ("given", "random", "leave_one_out", "temporal", "item_cold", "user_cold")


def shop(seed=0, spec="random", n=400, n_users=20, n_items=25, impressions=True, times=True, **settings):
    """Impressions of four items each at one time, some clicked, with repeats of pairs and a few unknown values."""
    rng = np.random.default_rng(seed)
    lists = n // 4
    log = pl.DataFrame(
        {
            "user": np.repeat(rng.integers(0, n_users, lists), 4),
            "item": rng.integers(0, n_items, 4 * lists),
            "time": np.repeat(rng.integers(0, 10**6, lists), 4),
            "impression": np.repeat([f"i{at}" for at in range(lists)], 4),
            "position": np.tile(np.arange(4), lists),
            "label": rng.integers(0, 2, 4 * lists),
            "event": rng.choice(["view", "buy"], 4 * lists).tolist(),
            "part": np.repeat(rng.choice([0, 0, 0, 1, 2], lists), 4),
            "device": rng.choice(["tv", "web", None], 4 * lists).tolist(),
            "price": rng.choice([1.5, 2.5, None], 4 * lists).tolist(),
        },
        strict=False,
    )
    log = log.drop([c for c, keep in (("impression", impressions), ("time", times)) if not keep])
    settings = {"positive": {"label": ">=1"}, "roles": {"context": ["device", "price"]}} | settings
    items = pl.DataFrame({"id": np.arange(n_items)})
    users = pl.DataFrame({"user": np.arange(n_users)})
    return Dataset.from_frames(items, log, users, split=spec, **settings)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), impressions=st.booleans(), rule=st.sampled_from([{}, None])
)
def test_positives_are_a_mask_over_events(seed, kind, impressions, rule):
    data = shop(seed, kind, impressions=impressions, **({} if rule is None else {"positive": rule}))
    for view in (data.select_view(), data.refit_view()):
        if view is None:
            continue
        chosen = view.events.take(view.positive)
        assert len(view.positive) == len(view.events) and len(chosen) == len(view)
        for mine, theirs in ((chosen.user, view.users), (chosen.item, view.items), (chosen.time, view.times)):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(chosen.event, view.event_codes)
        assert view.event_names == chosen.event_names == ("buy", "view")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), times=st.booleans())
def test_parts_cover_all_events_and_agree_with_the_positives(seed, kind, times):
    if kind in ("temporal", "leave_one_out") and not times:
        return
    data = shop(seed, kind, times=times)
    split, events = data.event_split, data.events
    assert len(split.part) == len(data.interactions) == len(events) and set(split.part.tolist()) <= {TRAIN, VALID, TEST}
    np.testing.assert_array_equal(split.part[split.positive], data.split.part)
    np.testing.assert_array_equal(split.part, shop(seed, kind, times=times).event_split.part)
    sizes = [len(data.select_view().events), len(data.validation_events()), len(data.test_events())]
    assert sizes[0] == (split.part == TRAIN).sum()
    if kind != "user_cold":
        assert sizes == np.bincount(split.part, minlength=3).tolist()


def test_no_event_of_a_test_pair_is_trained_on():
    for kind in ("random", "leave_one_out", "item_cold", "user_cold"):
        data = shop(1, kind)
        events, split, positives = data.events, data.event_split, data.positives
        pairs = (positives.users * data.n_items + positives.items)[data.split.part == TEST]
        mine = np.isin(events.user * data.n_items + events.item, pairs)
        assert mine.sum() > (data.split.part == TEST).sum() or kind == "random"
        assert (split.part[mine] == TEST).all(), kind


def test_temporal_and_cold_parts_follow_time_item_and_user():
    data = shop(2, "temporal")
    times = [data.events.time[data.event_split.part == part] for part in (TRAIN, VALID, TEST)]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min() and data.event_split.chronological
    cold = shop(2, "item_cold")
    np.testing.assert_array_equal(cold.event_split.part == TEST, cold.split.test_candidates[cold.events.item])
    users = shop(2, "user_cold")
    part = users.event_split.part
    assert all(len(set(part[users.events.user == user].tolist())) == 1 for user in range(users.n_users))
    given = users.event_split.given
    asked = (part == TEST) & ~given
    for user in np.unique(users.events.user[part == TEST]):
        mine = users.events.user == user
        if (mine & given).any() and (mine & asked).any():
            assert users.events.time[mine & given & users.event_split.positive].max() <= (
                users.events.time[mine & asked & users.event_split.positive].min(initial=10**9)
            )


def test_leave_one_out_asks_about_everything_from_the_last_positive_on():
    data = shop(3, "leave_one_out")
    events, part, positives = data.events, data.event_split.part, data.positives
    for user in range(data.n_users):
        test = positives.times[(positives.users == user) & (data.split.part == TEST)]
        mine = events.user == user
        if len(test):
            late = mine & (events.time >= test[0]) & ~data.event_split.positive
            assert (part[late] == TEST).all()
            assert events.time[mine & (part == TRAIN)].max() <= test[0]
        else:
            assert (part[mine] == TRAIN).all()


def test_random_keeps_impressions_together():
    data = shop(4, "random:valid=0.2,test=0.2", positive={"label": ">=1", "event": ["buy"]})
    events, split, positives = data.events, data.event_split, data.positives
    pairs = set((positives.users * data.n_items + positives.items).tolist())
    free = np.array([(u * data.n_items + i) not in pairs for u, i in zip(events.user, events.item)])
    shares = np.zeros(3)
    for code in np.unique(events.impression):
        mine = events.impression == code
        assert len(set(split.part[mine & free].tolist())) <= 1
        bound = mine & ~free
        if bound.any() and (mine & free).any():
            assert split.part[mine & free][0] == split.part[bound].max()
        if not bound.any():
            shares[split.part[mine][0]] += 1
    assert shares.all() and shares[TRAIN] > shares[TEST]
    apart = shop(4, "random:valid=0.2,test=0.2", impressions=False, positive={"label": ">=1", "event": ["buy"]})
    assert (np.bincount(apart.event_split.part) / len(apart.events) > 0.1).all()
    other = apart.with_split("random:valid=0.2,test=0.2,seed=1").event_split.part
    assert (other != apart.event_split.part).any()


def test_columns_hold_what_the_log_says():
    log = pl.DataFrame(
        {
            "user": ["b", "a", "a", "b"],
            "item": [2, 1, 2, 1],
            "timestamp": [30, 10, None, 20],
            "impression_id": [1, 1, None, 1],
            "rank": [2, 1, None, 3],
            "label": [1, None, 0, 1],
            "rating": [4.0, None, 2.0, 5.0],
            "weight": [None, 2.0, 1.0, 0.5],
            "pscore": [0.25, None, 0.5, 0.75],
            "event": ["buy", None, "view", "buy"],
            "hour": [3, 4, None, 3],
            "speed": [0.5, None, 1.5, 2.5],
            "is_new": [True, False, None, True],
        }
    )
    items = pl.DataFrame({"item": [1, 2]})
    users = pl.DataFrame({"user": ["a", "b"]})
    data = Dataset.from_frames(items, log, users, roles={"context": ["hour", "speed", "is_new"]}, positive={})
    events = data.events
    assert events.user.tolist() == [0, 1, 1, 0] and events.item.tolist() == [0, 0, 1, 1]
    assert events.time.tolist()[:3] == [10, 20, 30] and events.time[3] == UNKNOWN_TIME
    assert events.label.tolist() == [0, 1, 1, 0] and events.label.dtype == np.float32
    assert events.position.tolist() == [1, 3, 2, -1]
    assert events.impression[1] == events.impression[2] != events.impression[0] and events.impression[3] == -1
    np.testing.assert_array_equal(events.rating, np.float32([np.nan, 5, 4, 2]))
    assert events.weight.tolist() == [2.0, 0.5, 1.0, 1.0]
    np.testing.assert_array_equal(events.propensity, np.float32([np.nan, 0.75, 0.25, 0.5]))
    assert [events.event_names[code] if code >= 0 else None for code in events.event] == [None, "buy", "buy", "view"]
    hours = events.context_values["hour"]
    assert [hours[code] if code >= 0 else None for code in events.context["hour"]] == ["4", "3", "3", None]
    np.testing.assert_array_equal(events.context["speed"], np.float32([np.nan, 2.5, 0.5, 1.5]))
    assert events.context_values["is_new"] == ("false", "true") and events.context["is_new"].tolist() == [0, 1, 1, -1]
    one = events.take(np.array([2]))
    assert (len(one), one.item.tolist(), one.context["speed"].tolist()) == (1, [1], [0.5])
    ruled = Dataset.from_frames(items, log, users, positive={"rating": ">=4"})
    assert ruled.events.label.tolist() == [0, 1, 1, 0] and not ruled.events.context


def test_columns_that_cannot_be_used_are_named():
    base = {"user": [1, 2], "item": [1, 2]}
    items = pl.DataFrame({"item": [1, 2]})
    for column, values, roles in (("position", ["first", "2"], None), ("tags", [["a"], []], {"context": ["tags"]})):
        data = Dataset.from_frames(items, pl.DataFrame(base | {column: values}), roles=roles)
        with pytest.raises(DataError) as caught:
            _ = data.events
        assert caught.value.column == column
    with pytest.raises(DataError, match="exactly one column"):
        Dataset.from_frames(items, pl.DataFrame(base), roles={"user": ["user", "item"]})
    with pytest.raises(DataError, match="no such column"):
        Dataset.from_frames(items, pl.DataFrame(base), roles={"context": ["devise"]})


def test_context_survives_a_plain_folder(tmp_path):
    data = shop(5)
    again = load(write(data, tmp_path / "a"))
    assert again.interactions.context == ("device", "price") and again.hash == load(write(again, tmp_path / "b")).hash
    np.testing.assert_array_equal(again.events.context["device"], data.events.context["device"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), times=st.booleans(), limit=st.sampled_from([None, 1, 3]))
def test_histories_against_a_loop(seed, times, limit):
    data = shop(seed, times=times)
    events = data.events
    histories = Histories.build(events, data.n_users)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(events), 30)
    users = np.where(rng.random(30) < 0.1, -1, events.user[rows])
    moment = None if events.time is None else events.time[rows]
    lists = histories.before(users, moment, events.item[rows], limit)
    for at, (user, row) in enumerate(zip(users, rows)):
        mine = [i for i in range(len(events)) if events.user[i] == user and events.label[i] > 0]
        if times:
            mine = [i for i in mine if events.time[i] < events.time[row]]
        else:
            mine = [i for i in mine if events.item[i] != events.item[row]]
        mine = mine if limit is None else mine[-limit:]
        assert lists[at].tolist() == events.item[mine].tolist()
        span = slice(lists.indptr[at], lists.indptr[at + 1])
        assert lists.events[span].tolist() == events.event[mine].tolist()
        assert not times or lists.times[span].tolist() == events.time[mine].tolist()


def test_questions_know_only_the_past():
    data = shop(6, "temporal")
    questions = data.test_events()
    assert (questions.events.label == 0).any() and (questions.events.label == 1).any()
    history = questions.history()
    assert history.lengths.max() > 0 and (history.times < questions.events.time[history.owners()]).all()
    first = questions.take(np.arange(5))
    np.testing.assert_array_equal(first.history(max_length=2)[3], questions.history(max_length=2)[3])
    np.testing.assert_array_equal(questions.history(np.array([3]))[0], history[3])
    assert len(np.unique(questions.groups)) == len(np.unique(questions.events.impression))
    unseen = data.with_split("random").test_events()
    past = unseen.history()
    positives, split = data.positives, data.with_split("random").split
    hidden = set((positives.users * data.n_items + positives.items)[split.part != TRAIN].tolist())
    owners = unseen.events.user[past.owners()]
    assert len(past.items) and not hidden & set((owners * data.n_items + past.items).tolist())


def test_a_view_holds_the_validation_events():
    data = shop(6, "item_cold")
    view, questions = data.select_view(), data.validation_events()
    np.testing.assert_array_equal(view.ranking_queries.events.item, questions.events.item)
    assert len(questions) and data.refit_view().ranking_queries is None


def test_users_without_training_events_have_no_row():
    data = shop(7, "user_cold:test=0.4")
    questions = data.test_events()
    assert (questions.users == -1).all() and questions.history().lengths.max() > 0
    warm = shop(7, "random", impressions=False)
    assert (warm.test_events().users >= 0).all() and set(warm.test_events().groups) <= set(range(warm.n_users))


def test_only_impressions_are_asked():
    data = shop(8, "temporal")
    frame = data.interactions.frame.with_columns(
        impression=pl.when(pl.int_range(pl.len()) % 8 < 4).then(pl.col("impression")),
        label=pl.when(pl.int_range(pl.len()) % 8 < 4).then(pl.col("label")).otherwise(1),
    )
    log = frame.rename({"context:device": "device", "context:price": "price"})
    again = Dataset.from_frames(
        data.items.frame, log, data.users.frame, split="temporal", positive={"label": ">=1"}, columns={"id": "id"}
    )
    questions = again.test_events()
    assert (questions.events.impression >= 0).all() and questions.events.shown.all()
    assert not again.events.shown.all() and len(questions) < (again.event_split.part == TEST).sum()


def test_a_view_hides_rows_of_tables():
    items = pl.DataFrame({"id": np.arange(25), "colour": [f"c{i}" for i in range(25)]})
    data = shop(9, "item_cold")
    log = data.interactions.frame.select("user", "item", "time", "label")
    users = pl.DataFrame({"user": np.arange(20), "age": np.arange(20)})
    cold = Dataset.from_frames(items, log, users, split="item_cold", columns={"id": "id", "colour": "attributes"})
    view = cold.select_view()
    hidden = ~view.visible_items
    assert hidden.any() and (view.items_table.frame["colour"].is_null().to_numpy() == hidden).all()
    assert view.items_table.ids.ids.equals(cold.items.ids.ids) and view.users_table is cold.users
    assert not hidden[view.events.item].any() and cold.test_events().items_table is cold.items
    strangers = cold.with_split("user_cold")
    view = strangers.select_view()
    shown = view.users_table.frame["age"].is_not_null().to_numpy()
    assert shown[view.events.user].all() and not shown.all() and view.items_table is strangers.items


def test_real_mind_impressions(real_data):
    data = load(real_data("mind-sample"))
    view, questions = data.select_view(), data.test_events()
    assert (view.events.impression >= 0).sum() + len(questions) + len(data.validation_events()) == 189_359
    assert view.events.event_names == ("history", "impression") and data.event_split.chronological
    assert questions.events.position.min() == 1 and 0 < questions.events.label.mean() < 0.1
    assert questions.history().lengths.max() > 0 and len(view.events) == 256_163


def test_real_click_log_of_movies(real_data):
    data = load(real_data("movies") / "ctr")
    assert (data.layout, data.n_users, data.n_items, len(data.interactions)) == ("ctr", 838, 3883, 51_623)
    view, questions = data.select_view(), data.test_events()
    assert (len(view.events), len(data.validation_events()), len(questions)) == (33_891, 10_401, 7_331)
    assert set(data.items.modalities) == {"text", "image", "attributes"} and data.items.present("image").mean() > 0.9
    given = pl.read_parquet(real_data("movies") / "ctr" / "test.parquet")
    rows = {pair: at for at, pair in enumerate(zip(questions.events.user.tolist(), questions.events.item.tolist()))}
    users, movies = data.users.ids.rows(given["user_id"]), data.items.ids.rows(given["movie_id"])
    order = np.array([rows[pair] for pair in zip(users.tolist(), movies.tolist())])
    np.testing.assert_array_equal(questions.events.label[order], given["label"].to_numpy())
    history = questions.history()
    for at, known in zip(order[:300], given["history"][:300].to_list()):
        mine = data.items.ids.external(history[at])
        assert mine == known[: len(mine)] and len(mine) >= len(known) - 30
    means = {}
    for role, n in (("user", data.n_users), ("item", data.n_items)):
        rows = getattr(view.events, role)
        means[role] = (np.bincount(rows, view.events.label, n) + 2.5) / (np.bincount(rows, minlength=n) + 5)
    scores = means["user"][questions.events.user] + means["item"][questions.events.item]
    positive = questions.events.label > 0
    ranks = np.argsort(np.argsort(scores))[positive]
    n = int(positive.sum())
    assert (ranks.sum() - n * (n - 1) / 2) / (n * (~positive).sum()) == pytest.approx(0.7287, abs=0.005)
