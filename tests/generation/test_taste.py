"""Taste: lift against the catalogue's own taking, by hand and on histories."""

import math

import numpy as np
import pytest

from palate.generation.taste import CatalogTaste, history_preferences, log_lift, preferences, spelling


def test_the_lift_by_hand():
    # 3 of 5 items, taken by people once in 10: (3 + 5 * .1) / ((5 + 5) * .1)
    assert log_lift(3, 5, 0.1) == pytest.approx(math.log(3.5))
    assert log_lift(0, 0, 0.3) == pytest.approx(0), "an empty history tells nothing"
    assert log_lift(1, 10, 0.1) == pytest.approx(0), "as often as people: nothing"
    assert log_lift(1, 1, 0.1) < log_lift(9, 10, 0.1), "one item is little evidence"


@pytest.fixture
def taste():
    rows = {"wool": [0, 1], "silk": [2], "common": list(range(5))}
    values = {"material": {value: np.array(each) for value, each in rows.items()}}
    taken = np.ones(20, np.int64)
    taken[2] = 80
    return CatalogTaste(values, taken)


def test_what_many_take_is_no_taste_of_one(taste):
    cells = {0: {"material": "Wool, common"}, 2: {"material": "silk"}}
    found = taste.likes(cells)
    assert [one.value for one in found] == ["wool"], "silk is what everybody takes; a quarter of all items share common"
    rate = (2 + 5 * 0.1) / (99 + 5)
    assert found[0].weight == pytest.approx(log_lift(1, 2, rate)) and found[0].rows == (0,)
    assert taste.likes(cells, {"material": "linen"}) == [] and taste.likes(cells, {"material": None}) == []
    assert preferences(found, {0: ("a", cells[0])})[0].value == "Wool", "as the catalogue spells it"


def test_a_history_alone_still_tells_something():
    history = [{"id": "a", "genre": "Crime, Drama"}, {"id": "b", "genre": "Crime"}]
    found = history_preferences(history, ["genre"], lambda item: item["id"])
    assert [(one.value, one.items) for one in found] == [("Crime", ("a", "b")), ("Drama", ("a",))]
    assert found[0].weight > found[1].weight > 0 and history_preferences([], ["genre"], str) == []


@pytest.mark.parametrize("cell, value", [("Red|GREEN", "green"), (["X", "Straße"], "straße"), (3.5, "3.5")])
def test_spelling(cell, value):
    assert spelling(cell, value).lower() == value
