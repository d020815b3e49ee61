"""Splits and views: properties over random logs, the exact published draw, nothing of test in a view."""

from dataclasses import fields, is_dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.content import Features
from palate.core.errors import ConfigError, DataError
from palate.data.dataset import Dataset
from palate.data.load import load
from palate.data.relations import Edges, Relations
from palate.data.splits import TEST, TRAIN, VALID, Positives, SplitSpec, make_split, temporal_cuts

KINDS = ("random", "leave_one_out", "temporal", "item_cold", "user_cold")


def make(seed=0, n_users=25, n_items=30, n=300, spec="random", **extra):
    rng = np.random.default_rng(seed)
    log = pl.DataFrame(
        {
            "user": rng.integers(0, n_users, n),
            "item": rng.integers(0, n_items, n),
            "time": rng.integers(0, 10**6, n),
            "part": rng.choice([0, 0, 0, 1, 2], n),
        }
    )
    items = pl.DataFrame({"id": np.arange(n_items), "kind": [f"k{i % 3}" for i in range(n_items)]})
    ring = np.arange(n_items)
    edges = Edges(ring, (ring + 1) % n_items, np.ones(n_items, np.float32))
    features = {"image": Features(rng.normal(size=(n_items, 3)).astype(np.float32), np.ones(n_items, bool))}
    users = pl.DataFrame({"user": np.arange(n_users)})
    return Dataset.from_frames(
        items, log, users, split=spec, relations=Relations({"ring": edges}), features=features, **extra
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from([*KINDS, "given"]), n=st.integers(60, 400))
def test_parts_are_disjoint_and_cover(seed, kind, n):
    data = make(seed, n=n, spec=kind)
    part, positives = data.split.part, data.positives
    assert part.shape == positives.users.shape and set(part.tolist()) <= {TRAIN, VALID, TEST}
    pairs = positives.users * data.n_items + positives.items
    assert len(np.unique(pairs)) == len(pairs)
    view, queries = data.select_view(), data.test_queries()
    train = set((view.users * data.n_items + view.items).tolist())
    answers = query_pairs(data, queries)
    assert not train & answers
    if view.valid is not None:
        assert not train & query_pairs(data, view.valid) and not answers & query_pairs(data, view.valid)
    assert (queries.relevant.lengths > 0).all() and (queries.users.history.lengths > 0).all()
    np.testing.assert_array_equal(data.with_split(kind).split.part, make(seed, n=n, spec=kind).split.part)


def query_pairs(data, queries):
    """(user, item) keys; users are told apart by their history where they have no row."""
    if (queries.users.rows < 0).any():
        return {(-1, tuple(h), i) for h, r in zip(map(queries.users.history.__getitem__, range(len(queries))),
                map(queries.relevant.__getitem__, range(len(queries)))) for i in r.tolist()}  # fmt: skip
    owners = queries.users.rows[queries.relevant.owners()]
    return set((owners * data.n_items + queries.relevant.items).tolist())


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_leave_one_out_takes_the_last_by_time(seed):
    data = make(seed, spec="leave_one_out")
    positives, part = data.positives, data.split.part
    for user in range(data.n_users):
        mine = np.flatnonzero(positives.users == user)
        order = mine[np.argsort(positives.times[mine], kind="stable")]
        expected = [TRAIN] * len(mine) if len(mine) < 3 else [TRAIN] * (len(mine) - 2) + [VALID, TEST]
        assert part[order].tolist() == expected


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_temporal_has_no_future_in_train(seed):
    data = make(seed, spec="temporal:valid=0.2,test=0.2")
    positives, part = data.positives, data.split.part
    assert positives.times[part == TRAIN].max() < positives.times[part == VALID].min()
    assert positives.times[part == VALID].max() < positives.times[part == TEST].min()
    assert 0.1 < (part == TEST).mean() < 0.3
    seen = np.zeros(data.n_items, bool)
    seen[positives.items[part == TRAIN]] = True
    np.testing.assert_array_equal(data.split.visible_items, seen)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_keeps_every_user(seed):
    data = make(seed, spec="random:valid=0.3,test=0.4")
    positives, part = data.positives, data.split.part
    assert set(positives.users[part == TRAIN].tolist()) == set(positives.users.tolist())


def test_item_cold_hides_and_asks_only_cold_items():
    data = make(spec="item_cold:seed=3,valid=0.2,test=0.2")
    split, positives = data.split, data.positives
    cold = np.zeros(30, bool)
    cold[np.random.default_rng(3).choice(30, 6, replace=False)] = True
    np.testing.assert_array_equal(split.test_candidates, cold)
    np.testing.assert_array_equal(split.part == TEST, cold[positives.items])
    assert not (split.valid_candidates & cold).any() and split.valid_candidates.sum() == int(0.2 * 24)
    view = data.select_view()
    hidden = cold | split.valid_candidates
    np.testing.assert_array_equal(view.visible_items, ~hidden)
    assert not hidden[view.items].any()
    shown = view.with_features(data.items.given).features["image"]
    assert not shown.present[hidden].any() and (shown.values[hidden] == 0).all() and shown.present[~hidden].all()
    ring = view.relations.edges["ring"]
    assert not hidden[ring.source].any() and not hidden[ring.target].any()
    refit = data.refit_view()
    np.testing.assert_array_equal(refit.visible_items, ~cold)
    assert refit.valid is None and not cold[refit.items].any()
    known = np.isin(split.part, (TRAIN, VALID))
    assert (split.part == VALID).any()
    pairs = set(zip(positives.users[known].tolist(), positives.items[known].tolist()))
    assert set(zip(refit.users.tolist(), refit.items.tolist())) == pairs, "train and validation rows, all of them"
    assert len(view.items) < len(refit.items)
    queries = data.test_queries()
    assert cold[queries.relevant.items].all() and not cold[queries.users.history.items].any()


def test_transductive_shows_content_never_behaviour():
    data = make(spec="item_cold:transductive=true")
    view = data.select_view()
    assert view.visible_items.all() and not data.split.test_candidates[view.items].any()


def test_user_cold_folds_in():
    data = make(spec="user_cold:seed=1")
    split, positives = data.split, data.positives
    view, queries = data.select_view(), data.test_queries()
    test_users = np.unique(positives.users[split.part == TEST])
    assert not np.isin(view.users, test_users).any() and (queries.users.rows == -1).all()
    for at in range(len(queries)):
        past, answers = queries.users.history[at], queries.relevant[at]
        user = next(
            u for u in test_users if set(past) | set(answers) == set(positives.items[positives.users == u].tolist())
        )
        mine = positives.users == user
        assert len(past) == (mine.sum() + 1) // 2 and not set(past) & set(answers)
        latest = positives.times[mine & np.isin(positives.items, past)].max()
        assert latest <= positives.times[mine & np.isin(positives.items, answers)].min()
        assert set(queries.exclude[at].tolist()) == set(past.tolist())


def test_mask_train_or_all():
    for kind in ("random", "leave_one_out", "given"):
        data = make(spec=f"{kind}:mask=train")
        queries, wide = data.test_queries(), data.with_split(f"{kind}:mask=all").test_queries()
        positives, part = data.positives, data.split.part
        for at, user in enumerate(queries.users.rows):
            mine = positives.users == user
            # the last item is asked with all earlier ones known, so these are no candidates
            known = part != TEST if kind == "leave_one_out" else part == TRAIN
            assert set(queries.exclude[at].tolist()) == set(positives.items[mine & known].tolist())
            assert set(queries.users.history[at].tolist()) == set(positives.items[mine & known].tolist())
            assert set(wide.exclude[at].tolist()) == set(positives.items[mine & (part != TEST)].tolist())
            np.testing.assert_array_equal(queries.relevant[at], wide.relevant[at])


def test_no_test_part_anywhere_in_a_view():
    """Walk every attribute: no array of a view holds a test answer, no object of it leads to the data set."""
    data = make(spec="item_cold")
    cold = np.flatnonzero(data.split.test_candidates)
    for view in (data.select_view(), data.refit_view()):
        view = view.with_features(data.items.given)
        _ = view.matrix, view.history, view.popularity, view.warm_items, view.items_table
        assert not (set(vars(view)) & {"test", "test_queries", "data", "dataset", "interactions", "split"})
        seen, ids = [], []
        walk(view, "view", seen, ids)
        assert not any(isinstance(value, Dataset) for _, value in seen)
        for path, value in seen:
            if isinstance(value, np.ndarray) and path.endswith(
                (".items", ".events.item", ".relevant.items", ".target", ".source")
            ):
                assert not np.isin(value, cold).any(), path
        assert not np.isin(view.events.item, cold).any() and not np.isin(view.histories.lists.items, cold).any()
        assert view.matrix[:, cold].nnz == 0 and view.popularity[cold].sum() == 0


def walk(value, path, seen, ids):
    if id(value) in ids:
        return
    ids.append(id(value))
    seen.append((path, value))
    if is_dataclass(value):
        for name in {f.name for f in fields(value)} | set(vars(value)):
            walk(getattr(value, name), f"{path}.{name}", seen, ids)
    elif isinstance(value, dict):
        for name, inner in value.items():
            walk(inner, f"{path}[{name}]", seen, ids)


def test_settings_are_checked():
    assert str(SplitSpec.parse("item_cold:seed=3")) == "item_cold:valid=0.2,test=0.2,seed=3"
    for text, error in (("itemcold", ConfigError), ("random:tset=0.1", ConfigError), ("random:test", ConfigError),
                        ("random:test=2", ConfigError), ("random:test=x", ConfigError)):  # fmt: skip
        with pytest.raises(error):
            SplitSpec.parse(text)
    log = pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3]})
    for kind in ("leave_one_out", "temporal", "given"):
        with pytest.raises(DataError, match="needs a"):
            _ = Dataset.from_frames(pl.DataFrame({"id": [1, 2, 3]}), log, split=kind).split


@pytest.mark.parametrize("draw", [0, 1, 2])
def test_the_published_cold_draw_of_movies(draw, real_data):
    data = load(real_data("movies"), split=f"item_cold:seed={draw}")
    cold = np.zeros(3883, bool)
    cold[np.random.default_rng(draw).choice(3883, 776, replace=False)] = True
    np.testing.assert_array_equal(data.split.test_candidates, cold)
    queries = data.test_queries()
    ratings = pl.read_csv(real_data("movies") / "ratings.csv").filter(pl.col("rating") >= 4)
    rows = {movie: row for row, movie in enumerate(data.items.ids.ids.to_list())}
    by_user = {}
    for user, movie in ratings.select("userId", "movieId").iter_rows():
        if movie in rows:
            by_user.setdefault(user, set()).add(rows[movie])
    expected = {u: {i for i in s if cold[i]} for u, s in by_user.items() if 0 < sum(cold[i] for i in s) < len(s)}
    assert len(queries) == len(expected) and (draw != 0 or len(queries) == 572)
    users = data.users.ids.external(queries.users.rows)
    assert {u: set(queries.relevant[at].tolist()) for at, u in enumerate(users)} == expected


def test_the_published_split_of_baby(real_data):
    data = load(real_data("amazon-baby"))
    assert [int((data.split.part == p).sum()) for p in (TRAIN, VALID, TEST)] == [118551, 21682, 20559]
    assert data.split.visible_items.all() and data.refit_view() is None


def test_what_happens_at_a_cut_belongs_to_the_later_part():
    spec = SplitSpec.parse("temporal:valid=0.2,test=0.2")
    times = np.arange(10)
    pairs = np.arange(10)
    found = make_split(spec, Positives(pairs, pairs, times, None, 10, 10))
    assert temporal_cuts(spec, Positives(pairs, pairs, times, None, 10, 10)) == (6, 8)
    assert found.part.tolist() == [TRAIN] * 6 + [VALID] * 2 + [TEST] * 2
    tied = np.array([0, 0, 0, 0, 0, 0, 5, 5, 5, 5])
    assert make_split(spec, Positives(pairs, pairs, tied, None, 10, 10)).part.tolist() == [TRAIN] * 6 + [TEST] * 4
