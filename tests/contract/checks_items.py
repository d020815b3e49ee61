"""Items without behaviour, without content, and items that arrive after fitting; capabilities tested both ways."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, check, people, same_state, scores, seen_scores
from tiny_world import BLANK, COLD, N_ITEMS, NO_AUDIO, NO_IMAGE, arrivals, grown

from palate.contracts import Matcher, models
from palate.core.errors import DataError, UnsupportedError
from palate.core.item_features import ItemFeatures

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def extended(case: Case, data: str = "plain", twin: int = COLD) -> Matcher:
    """A fit with a twin of item ``twin`` and a blank item appended, as content only."""
    model = case.restored(data)
    model.update_items(ItemFeatures.of(grown(case.data(data).items, twin)))
    return model


@check()
def an_item_with_neither_content_nor_behaviour_is_not_scorable(case: Case) -> None:
    model = case.fitted()
    assert not model.scorer().scorable()[BLANK]
    table = model.recommend(["u00", "u01"], k=N_ITEMS)
    assert f"i{BLANK}" not in set(table["item"])


@check()
def a_cold_item_is_scorable_exactly_with_the_ability(case: Case) -> None:
    model = case.fitted()
    assert model.scorer().scorable()[COLD] == model.capabilities.new_items
    cold = case.fitted("item_cold")
    held = case.data("item_cold").split.test_candidates
    described = np.ones(N_ITEMS, bool)
    described[list(set(NO_IMAGE) | set(NO_AUDIO))] = False
    able = cold.scorer().scorable()
    assert (able[held & described] == model.capabilities.new_items).all()


@check(lambda kind: kind.capabilities.new_items)
def cold_items_score_by_their_content(case: Case) -> None:
    """With the same behaviour and other content, a cold item scores otherwise."""
    data, other = case.data("item_cold"), case.data("item_cold_changed")
    cold = np.flatnonzero(data.split.test_candidates)
    first = seen_scores(case.fitted("item_cold"), data)[:, cold]
    second = seen_scores(case.fitted("item_cold_changed"), other)[:, cold]
    assert np.isfinite(first).all() and not np.allclose(first, second)


@check()
def items_with_missing_content_score_finite(case: Case) -> None:
    model = case.fitted()
    warm = [row for row in (*NO_IMAGE, *NO_AUDIO) if model.scorer().scorable()[row]]
    assert warm and np.isfinite(seen_scores(model, case.data())[:, warm]).all()


@check()
def values_of_absent_rows_are_never_read(case: Case) -> None:
    model = case.fitted("absent_rows_changed")
    assert same_state(model, case.fitted())
    assert np.array_equal(seen_scores(model, case.data("absent_rows_changed")), seen_scores(case.fitted(), case.data()))


@check()
def content_matters_exactly_with_the_ability(case: Case) -> None:
    first = seen_scores(case.fitted(), case.data())
    second = seen_scores(case.fitted("other_content"), case.data("other_content"))
    assert np.array_equal(first, second) != case.kind.capabilities.content


@check()
def an_appended_item_is_scored_or_refused(case: Case) -> None:
    if not case.kind.capabilities.new_items:
        with pytest.raises(UnsupportedError, match="models that can") as caught:
            extended(case)
        assert caught.value.hint
        able = [name for name, kind in models.items() if kind.capabilities.new_items]
        assert all(name in caught.value.hint for name in able)
        return
    try:
        scorer = extended(case).scorer()
    except UnsupportedError as error:
        pytest.fail(f"claims new items, but: {error}")
    mask = scorer.scorable()
    assert scorer.n_items == len(mask) == N_ITEMS + 2
    assert mask[N_ITEMS], "an item with content must be scorable"
    assert not mask[N_ITEMS + 1], "an item that nothing is known of must not be scorable"
    found = scores(scorer, people(case.data()))
    assert found.shape[1] == N_ITEMS + 2 and np.isfinite(found[:, mask]).all()


@check(lambda kind: kind.capabilities.new_items)
def a_twin_of_a_cold_item_scores_like_it(case: Case) -> None:
    """Hidden in fitting and appended afterwards are the same thing."""
    data = case.data("item_cold")
    held = np.flatnonzero(data.split.test_candidates)
    twin = next(int(row) for row in held if row not in {*NO_IMAGE, *NO_AUDIO})
    found = scores(extended(case, "item_cold", twin).scorer(), people(data))
    np.testing.assert_allclose(found[:, N_ITEMS], found[:, twin], **CLOSE)


@check(lambda kind: kind.capabilities.new_items)
def appending_items_moves_no_other_score(case: Case) -> None:
    known = case.fitted().scorer().scorable()
    before = seen_scores(case.fitted(), case.data())[:, known]
    after = scores(extended(case).scorer(), people(case.data()))[:, :N_ITEMS][:, known]
    np.testing.assert_allclose(after, before, **CLOSE)


@check(lambda kind: kind.capabilities.new_items)
def appending_twice_is_appending_once(case: Case) -> None:
    model = extended(case)
    once = scores(model.scorer(), people(case.data()))
    model.update_items(ItemFeatures.of(grown(case.data().items, COLD)))
    np.testing.assert_allclose(scores(model.scorer(), people(case.data())), once, **CLOSE)


@check()
def added_rows_are_recommended_or_refused(case: Case) -> None:
    model = case.restored("described")
    if not model.capabilities.new_items:
        with pytest.raises(UnsupportedError, match="models that can"):
            model.add_items(arrivals())
        return
    before = model.recommend(["u00"], k=N_ITEMS)
    assert model.add_items(arrivals()) is model
    table = model.recommend(["u00", "u04"], k=N_ITEMS + 2)
    assert "new-full" in set(table["item"]) and "new-blank" not in set(table["item"])
    assert table["score"].is_finite().all()
    old = {item: score for _, item, score, _ in before.rows()}
    now = {item: score for user, item, score, _ in table.rows() if user == "u00"}
    assert set(now) == set(old) | {"new-full"}
    np.testing.assert_allclose([now[item] for item in old], list(old.values()), **CLOSE)
    if model.capabilities.new_users:
        assert len(model.recommend(history=["new-full"], k=3)) == 3
        assert len(model.similar_items("new-full", k=3)) == 3


@check(lambda kind: kind.capabilities.new_items)
def items_can_be_added_again_and_again(case: Case) -> None:
    model = case.restored("described")
    both = arrivals()
    model.add_items(both[:1]).add_items(both[1:])
    at_once = case.restored("described").add_items(both)
    assert len(model.deployment.items) == N_ITEMS + 2
    first, second = (m.recommend(["u01"], k=N_ITEMS + 2) for m in (model, at_once))
    assert first["item"].to_list() == second["item"].to_list()


@check()
def a_refused_addition_leaves_everything_as_it_was(case: Case) -> None:
    model = case.restored("described")
    before = model.recommend(["u00"], k=N_ITEMS)
    duplicate = arrivals().with_columns(item=arrivals()["item"].replace("new-blank", "i03"))
    with pytest.raises((UnsupportedError, DataError)):
        model.add_items(duplicate)
    with pytest.raises((UnsupportedError, DataError)):
        model.add_items(arrivals().with_columns(colour=arrivals()["title"]))
    if not model.capabilities.new_items:
        with pytest.raises(UnsupportedError):
            model.add_items(arrivals())
    assert len(model.deployment.items) == N_ITEMS
    assert all(len(found) == N_ITEMS for found in model.deployment.features.values())
    assert model.recommend(["u00"], k=N_ITEMS).equals(before)
