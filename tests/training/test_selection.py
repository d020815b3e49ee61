"""Items held out as if they were new: nothing of them is left in the view, and they alone are asked about."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import small

from palate.training.selection import choose, pseudo_cold


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.2, 0.5]))
def test_held_out_items_leave_no_behaviour_and_no_content(seed, share):
    train = small().select_view()
    view, held = pseudo_cold(train, 10_000, seed, share)
    cold = held.candidates
    assert cold.sum() == max(1, int(share * (train.warm_items & train.visible_items).sum()))
    assert not cold[view.items].any() and not (view.visible_items & cold).any()
    assert (view.visible_items | cold == train.visible_items).all()
    kept = ~cold[train.items]
    assert np.array_equal(view.items, train.items[kept]) and np.array_equal(view.users, train.users[kept])
    assert cold[held.relevant.items].all() and not cold[held.users.history.items].any()
    asked = set(zip(held.users.rows[held.relevant.owners()].tolist(), held.relevant.items.tolist()))
    took = set(zip(train.users.tolist(), train.items.tolist()))
    assert asked <= took and view.valid is None


def test_at_most_so_many_users_are_asked():
    train = small().select_view()
    _, everyone = pseudo_cold(train, 10_000, 0)
    _, some = pseudo_cold(train, 3, 0)
    assert len(some) == 3 < len(everyone) and set(some.users.rows) < set(everyone.users.rows)


def test_where_nobody_is_left_to_ask_there_is_no_question():
    train = small().select_view()
    lonely = type(train)(1, train.n_items, np.array([0]), np.array([2]), None, train.visible_items, train.relations)
    assert pseudo_cold(lonely, 10, 0) is None
    nothing = type(train)(
        1, train.n_items, np.array([], int), np.array([], int), None, train.visible_items, train.relations
    )
    assert pseudo_cold(nothing, 10, 0) is None


def test_a_choice_without_validation_is_the_first():
    train = small().select_view()
    refit = type(train)(
        train.n_users, train.n_items, train.users, train.items, None, train.visible_items, train.relations
    )
    chosen, score = choose(refit, [3, 1, 2], lambda _: pytest.fail("nothing is scored"), "recall@20")
    assert chosen == 3 and np.isnan(score)
