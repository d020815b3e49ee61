"""Serving: external ids in and out, filters, strangers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from cases import Case, check, people, scores
from tiny_world import N_ITEMS, log

from palate.core.batch import RaggedArray, UserBatch
from palate.core.errors import ConfigError, DataError, PalateError, UnsupportedError


def item_name(row: int) -> str:
    return f"i{row:02d}"


def taken_by(user: int) -> set[str]:
    return {item_name(row) for row in log().filter(pl.col("user") == user)["item"]}


def everything(user: int) -> UserBatch:
    """A user as served: all parts of the split count as history."""
    rows = log().filter(pl.col("user") == user).sort("time")["item"].to_list()
    return UserBatch(np.array([user]), RaggedArray.of([rows]))


@check()
def table_has_the_promised_shape(case: Case) -> None:
    table = case.fitted().recommend(["u03", "u01"], k=4)
    assert table.columns == ["user", "item", "score", "rank"] and len(table) == 8
    assert table["user"].to_list() == ["u03"] * 4 + ["u01"] * 4
    assert table["rank"].to_list() == [1, 2, 3, 4] * 2
    assert table["score"].dtype == pl.Float32 and table["score"].is_finite().all()
    assert set(table["item"]) <= {item_name(row) for row in range(N_ITEMS)}


@check()
def table_is_what_the_scores_say(case: Case) -> None:
    model = case.fitted()
    scorer = model.scorer()
    for user in (0, 5, 22):
        row = scores(scorer, everything(user))[0]
        open_ = [i for i in np.flatnonzero(scorer.scorable()) if item_name(i) not in taken_by(user)]
        best = sorted(open_, key=lambda i: (-row[i], i))[:6]
        found = [int(name[1:]) for name in model.recommend([f"u{user:02d}"], k=6)["item"]]
        np.testing.assert_allclose(row[found], row[best], rtol=1e-4, atol=1e-5)


@check()
def one_user_one_item(case: Case) -> None:
    table = case.fitted().recommend("u07", k=1)
    assert len(table) == 1 and table["rank"].to_list() == [1]


@check()
def more_than_the_catalogue_is_the_catalogue(case: Case) -> None:
    model = case.fitted()
    table = model.recommend(["u00"], k=10 * N_ITEMS)
    known = {item_name(row) for row in np.flatnonzero(model.scorer().scorable())}
    assert set(table["item"]) == known - taken_by(0)
    assert table["rank"].to_list() == list(range(1, len(table) + 1))


@check()
def k_below_one_is_refused(case: Case) -> None:
    for k in (0, -3):
        with pytest.raises(DataError):
            case.fitted().recommend(["u00"], k=k)


@check()
def what_a_user_took_is_left_out(case: Case) -> None:
    table = case.fitted().recommend([f"u{u:02d}" for u in range(10)], k=N_ITEMS)
    for user in range(10):
        assert not taken_by(user) & set(table.filter(pl.col("user") == f"u{user:02d}")["item"])


@check()
def filter_seen_can_be_switched_off(case: Case) -> None:
    mine = sorted(taken_by(4))
    table = case.fitted().recommend(["u04"], k=N_ITEMS, allowed=mine, filter_seen=False)
    warm = {item_name(row) for row in np.flatnonzero(case.fitted().scorer().scorable())}
    assert set(table["item"]) == set(mine) & warm
    assert len(case.fitted().recommend(["u04"], k=3, allowed=mine)) == 0


@check()
def excluded_items_stay_out(case: Case) -> None:
    model = case.fitted()
    best = model.recommend(["u09"], k=3)["item"].to_list()
    rest = model.recommend(["u09"], k=3, exclude=best)["item"].to_list()
    assert len(rest) == 3 and not set(best) & set(rest)
    whole = model.recommend(["u09"], k=6)
    assert whole["item"].to_list() == best + rest


@check()
def only_allowed_items_come(case: Case) -> None:
    free = [item_name(row) for row in (0, 1, 2, 6, 12) if item_name(row) not in taken_by(13)]
    table = case.fitted().recommend(["u13"], k=9, allowed=free)
    assert set(table["item"]) == set(free)


@check()
def unknown_item_ids_are_errors(case: Case) -> None:
    for options in ({"allowed": ["nope"]}, {"exclude": ["nope"]}):
        with pytest.raises(DataError) as caught:
            case.fitted().recommend(["u00"], k=2, **options)
        assert caught.value.key == "nope"
    with pytest.raises(PalateError):
        case.fitted().similar_items("nope")


@check()
def unknown_users_are_an_error_skipped_or_served_the_popular(case: Case) -> None:
    model = case.fitted()
    with pytest.raises(DataError) as caught:
        model.recommend(["u00", "stranger"], k=3)
    assert caught.value.key == "stranger" and caught.value.hint
    assert model.recommend(["u00", "stranger"], k=3, on_unknown="skip")["user"].to_list() == ["u00"] * 3
    table = model.recommend(["stranger", "u00"], k=3, on_unknown="fallback")
    counts = np.bincount(log()["item"], minlength=N_ITEMS)
    popular = [int(name[1:]) for name in table.filter(pl.col("user") == "stranger")["item"]]
    assert len(popular) == 3 and counts[popular].tolist() == np.sort(counts)[::-1][:3].tolist()
    assert len(table) == 6
    with pytest.raises(ConfigError):
        model.recommend(["stranger"], k=3, on_unknown="guess")


@check()
def users_or_a_history_are_needed(case: Case) -> None:
    with pytest.raises(DataError):
        case.fitted().recommend(k=3)
    with pytest.raises(DataError):
        case.fitted().recommend(["u00"], k=3, history=["i01"])


@check()
def visitors_are_served_or_refused_by_name(case: Case) -> None:
    model = case.fitted()
    if not model.capabilities.new_users:
        with pytest.raises(UnsupportedError, match="can: "):
            model.recommend(history=["i01", "i05"], k=4)
        return
    table = model.recommend(history=["i01", "i05"], k=4)
    assert len(table) == 4 and table["score"].is_finite().all()
    assert not {"i01", "i05"} & set(table["item"])
    assert table["user"].null_count() == 4


@check(lambda kind: kind.capabilities.new_users)
def an_empty_history_is_served(case: Case) -> None:
    table = case.fitted().recommend(history=[], k=4)
    assert len(table) == 4 and table["score"].is_finite().all()


@check(lambda kind: kind.capabilities.new_users)
def similar_items_leave_out_the_item_itself(case: Case) -> None:
    table = case.fitted().similar_items("i06", k=5)
    assert table.columns == ["item", "score", "rank"] and len(table) == 5 and "i06" not in set(table["item"])


@check(lambda kind: kind.capabilities.new_users)
def a_visitor_with_a_users_history_is_no_stranger(case: Case) -> None:
    """Lists of a visitor and of the user with the same history overlap more than chance if a model personalises."""
    model, data = case.taught(), case.data()
    scorer, users = model.scorer(), people(data)
    guests = UserBatch(np.full(len(users), -1), users.history)
    known = scorer.scorable()
    mine, theirs = scores(scorer, users)[:, known], scores(scorer, guests)[:, known]
    assert np.isfinite(theirs).all()
    same = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(mine, theirs) if a.std() > 0 and b.std() > 0])
    assert same > 0.1, f"correlation {same:.3f}"


@check()
def serving_changes_nothing(case: Case) -> None:
    model = case.fitted()
    first = model.recommend(["u02"], k=5)
    model.recommend(["u03"], k=9, filter_seen=False)
    assert model.recommend(["u02"], k=5).equals(first)


@check()
def nothing_is_printed(case: Case) -> None:
    """Runs under ``capfd`` of the test, which compares what reached the terminal."""
    case.fit().recommend(["u00"], k=2)
