"""Lists: in the order that was asked for, and of a whole number of items."""

import numpy as np
import pytest

from palate.core.errors import DataError


@pytest.mark.parametrize("users", [["zz", "u1"], ["u1", "zz", "u0", "yy", "u1"], ["zz"], ["u3", "u2"]])
def test_lists_stand_in_the_order_that_was_asked_for(ease, users):
    table = ease.recommend(users, k=2, on_unknown="fallback")
    assert table["user"].to_list() == [user for user in users for _ in range(2)]
    known = ease.recommend(users, k=2, on_unknown="skip")
    assert known["user"].to_list() == [user for user in users if user.startswith("u") for _ in range(2)]


@pytest.mark.parametrize("k", [2.5, "3", 0, -1, True, None, float("nan"), 2.0, [3]])
def test_the_length_of_a_list_is_a_whole_number(ease, k):
    with pytest.raises(DataError, match="k must be"):
        ease.recommend(["u1"], k=k)


@pytest.mark.parametrize("k", [1, np.int64(3), np.int32(2)])
def test_whole_numbers_of_numpy_are_lengths(ease, k):
    assert len(ease.recommend(["u1"], k=k)) == int(k)
