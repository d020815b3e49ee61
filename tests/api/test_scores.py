"""Scores of pairs, and vectors with the ids they belong to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palate
from palate.core.errors import DataError, NotFittedError, UnsupportedError
from palate.training import scores


def test_pairs_are_scored_in_their_order_and_as_lists_score_them(bpr):
    listed = bpr.recommend(["u1", "u2"], k=30, filter_seen=False)
    expected = {(user, item): score for user, item, score, _ in listed.iter_rows()}
    pairs = [("u2", "i3"), ("u1", "i0"), ("u2", "i0"), ("u1", "i29")]
    found = bpr.predict([user for user, _ in pairs], [item for _, item in pairs])
    assert found.columns == ["user", "item", "score"]
    assert list(zip(found["user"], found["item"])) == pairs
    assert found["score"].to_list() == pytest.approx([expected[pair] for pair in pairs], abs=1e-6)


def test_one_user_or_one_item_is_paired_with_all_others(ease):
    assert ease.predict("u1", ["i2", "i1"])["user"].to_list() == ["u1", "u1"]
    assert ease.predict(["u1", "u4", "u1"], "i2")["item"].to_list() == ["i2"] * 3
    assert len(ease.predict("u1", "i2")) == 1


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 29)), max_size=40), block=st.integers(1, 9))
def test_a_score_does_not_depend_on_the_other_pairs(bpr, pairs, block):
    whole = {(u, i): s for u, i, s, _ in bpr.recommend(bpr.user_ids, k=30, filter_seen=False).iter_rows()}
    users, items = [f"u{user}" for user, _ in pairs], [f"i{item}" for _, item in pairs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "BLOCK", block)
        found = bpr.predict(users, items)
    assert found["user"].to_list() == users and found["item"].to_list() == items
    assert found["score"].to_list() == pytest.approx([whole[pair] for pair in zip(users, items)], abs=1e-5)


def test_what_cannot_be_scored_is_null_and_what_is_unknown_is_named(frames):
    items, log = frames
    data = palate.Dataset.from_frames(items, log, split="item_cold:seed=1")
    model = palate.models.EASE().fit(data)
    cold = model.item_ids.gather(np.flatnonzero(~model.scorer().scorable())).to_list()
    assert cold and model.predict("u1", cold)["score"].to_list() == [None] * len(cold)
    with pytest.raises(DataError, match="nobody"):
        model.predict("nobody", "i1")
    with pytest.raises(DataError, match="no pairs"):
        model.predict(["u1", "u2"], ["i1", "i2", "i3"])


def test_vectors_come_with_their_ids_and_give_the_scores(bpr):
    items, users = bpr.item_vectors(), bpr.user_vectors()
    assert items.ids.equals(bpr.item_ids) and users.ids.equals(bpr.user_ids)
    assert items.vectors.shape == (30, 8) and items.vectors.dtype == np.float32
    ids, vectors = bpr.user_vectors(["u5", "u3"])
    assert ids.to_list() == ["u5", "u3"]
    assert bpr.predict("u5", bpr.item_ids)["score"].to_numpy() == pytest.approx(items.vectors @ vectors[0], abs=1e-5)


def test_a_model_without_vectors_names_those_that_have_them(ease):
    with pytest.raises(UnsupportedError, match="bpr"):
        ease.item_vectors()


def test_nothing_is_scored_before_fitting():
    with pytest.raises(NotFittedError):
        palate.models.BPR().predict("u1", "i1")


@pytest.mark.parametrize("k", [2.5, "3", None, True, np.float64(3)])
def test_a_list_length_is_a_whole_number(ease, k):
    with pytest.raises(DataError, match="whole number"):
        ease.recommend("u1", k=k)


def test_a_list_length_may_be_any_whole_number(ease):
    assert len(ease.recommend("u1", k=np.int64(2))) == 2
