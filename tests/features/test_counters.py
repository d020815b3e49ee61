"""Counters: what was strictly before, by hand, and never a label of the present or the future."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.data.events import Events
from palate.features.counters import Asked, Counters

TABLES = {"item.genre": np.array([[2, 3], [2, 0], [0, 0]])}


def events(user, item, label, time=None, impression=None) -> Events:
    column = None if time is None else np.array(time)
    shown = None if impression is None else np.array(impression)
    return Events(np.array(user), np.array(item), np.array(label, np.float32), column, impression=shown)


def share(counters: Counters, table: np.ndarray, name: str) -> np.ndarray:
    return table[:, counters.names.index(f"{name}: share")]


def seen(counters: Counters, table: np.ndarray, name: str) -> np.ndarray:
    return np.expm1(table[:, counters.names.index(f"{name}: events")]).round(4)


def test_counts_are_of_what_was_before():
    log = events([0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1], [10, 20, 30, 30])
    counters = Counters(["item.genre"], windows=False)
    table = counters.of_events(log, TABLES)
    assert seen(counters, table, "user").tolist() == [0, 1, 2, 0]
    assert seen(counters, table, "item").tolist() == [0, 0, 1, 1]
    # item 0 has two genres and item 1 one: values seen are counted each
    assert seen(counters, table, "item.genre").tolist() == [0, 1, 3, 3]
    assert seen(counters, table, "user x item.genre").tolist() == [0, 1, 3, 0]


def test_a_share_is_smoothed_towards_its_parent():
    log = events([0, 0, 0], [0, 1, 2], [1, 1, 0], [1, 2, 3])
    counters = Counters(["item.genre"], windows=False, weight=2.0)
    table = counters.before(log, Asked(np.array([0, -1]), np.array([0, 0]), np.array([3, 3])), TABLES)

    def log_odds(value: float) -> float:
        return float(np.log(value / (1 - value)))

    overall = (2 + 1) / (2 + 2)
    user = (2 + 2 * overall) / (2 + 2)
    assert share(counters, table, "user")[0] == pytest.approx(log_odds(user) - log_odds(overall), rel=1e-5)
    # genres 2 and 3 of item 0: genre 2 was liked twice by the user, genre 3 once
    genre = (3 + 2 * user) / (3 + 2)
    assert share(counters, table, "user x item.genre")[0] == pytest.approx(log_odds(genre) - log_odds(user), rel=1e-5)
    # of an unknown user nothing is known
    assert share(counters, table, "user")[1] == 0 and seen(counters, table, "user x item.genre")[1] == 0


def test_windows_count_the_newest_events():
    log = events([0] * 6, [0] * 6, [0, 0, 0, 1, 1, 1], [1, 2, 3, 4000, 4001, 4002])
    counters = Counters([])
    table = counters.before(log, Asked(np.array([0]), np.array([1]), np.array([4003])), TABLES)
    assert seen(counters, table, "user, last 3")[0] == 3 and share(counters, table, "user, last 3")[0] > 0
    assert seen(counters, table, "user, last 3600 seconds")[0] == 3
    assert seen(counters, table, "user, last 10")[0] == 6
    assert seen(counters, table, "item, last 10")[0] == 0
    late = counters.before(log, Asked(np.array([0]), np.array([1]), np.array([10_000])), TABLES)
    assert seen(counters, late, "user, last 3600 seconds")[0] == 0


@given(st.data())
def test_no_label_of_the_present_or_later_enters_a_counter(data):
    n = data.draw(st.integers(2, 12))
    draw = lambda top: data.draw(st.lists(st.integers(0, top), min_size=n, max_size=n))  # noqa: E731
    user, item, label, time = draw(2), draw(2), draw(1), draw(4)
    counters = Counters(["item.genre"])
    table = counters.of_events(events(user, item, label, time), TABLES)
    at = data.draw(st.integers(0, n - 1))
    flipped = [1 - one if when >= time[at] else one for one, when in zip(label, time)]
    again = counters.of_events(events(user, item, flipped, time), TABLES)
    assert np.array_equal(table[at], again[at])


def test_without_times_an_event_is_counted_by_the_other_folds():
    rng = np.random.default_rng(0)
    user, item, label = rng.integers(0, 5, 60), rng.integers(0, 3, 60), rng.integers(0, 2, 60)
    shown = np.repeat(np.arange(20), 3)
    counters = Counters(["item.genre"])
    for impression in (None, shown):
        table = counters.of_events(events(user, item, label, impression=impression), TABLES)
        for at in range(60):
            flipped = label.copy()
            flipped[at if impression is None else shown == shown[at]] ^= 1
            again = counters.of_events(events(user, item, flipped, impression=impression), TABLES)
            assert np.array_equal(table[at], again[at])
