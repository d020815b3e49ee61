"""Filters: exact masks over attributes, and errors that name what is wrong."""

import polars as pl
import pytest

import palate
from palate.core.errors import DataError
from palate.serving.filters import Filters

ROWS = pl.DataFrame(
    {
        "item": list("abcdef"),
        "kind": ["lamp", "Lamp", "vase", None, "lamp, vase", " "],
        "tags": [["new"], ["New", "red"], [], None, ["red"], ["old"]],
        "price": [5.0, 10.0, None, 20.0, 10.5, 0.0],
        "sold": [True, False, None, True, True, False],
        "name": ["x"] * 6,
    }
)


@pytest.fixture(scope="module")
def filters():
    log = pl.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})
    columns = dict.fromkeys(("kind", "tags", "price", "sold"), "attributes") | {"item": "id", "name": "text"}
    return Filters(palate.Dataset.from_frames(ROWS, log, columns=columns).items)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"kind": "lamp"}, "abe"),
        ({"kind": ["LAMP", "vase"]}, "abce"),
        ({"kind": []}, ""),
        ({"tags": "red"}, "be"),
        ({"tags": ["new", "old"]}, "abf"),
        ({"price": {"min": 5, "max": 10}}, "ab"),
        ({"price": {"max": 10.5}}, "abef"),
        ({"price": 20}, "d"),
        ({"price": {}}, "abdef"),
        ({"sold": "true"}, "ade"),
        ({"kind": "lamp", "price": {"min": 6}, "tags": "red"}, "be"),
    ],
)
def test_filters_leave_the_matching_items(filters, wanted, found):
    assert "".join(ROWS["item"].filter(pl.Series(filters.mask(wanted)))) == found


def test_no_filters_give_no_mask(filters):
    assert filters.mask({}) is None


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"knd": "lamp"}, "did you mean kind"),
        ({"name": "x"}, "not filtered"),
        ({"kind": 3}, "not text"),
        ({"kind": {"min": 3}}, "not text"),
        ({"price": {"least": 3}}, "min, max"),
        ({"price": "cheap"}, "not a number"),
        ({"price": {"min": True}}, "not a number"),
        ({"price": {"min": float("nan")}}, "not a number"),
    ],
)
def test_an_invalid_filter_is_an_error(filters, wanted, message):
    with pytest.raises(DataError, match=message):
        filters.mask(wanted)


def test_narrow_bounds_match_the_same_items_as_wide_ones():
    prices = [None if row % 7 == 0 else float(row * 37 % 200) for row in range(400)]
    frame = pl.DataFrame({"item": [str(row) for row in range(400)], "price": prices})
    log = pl.DataFrame({"user": ["u", "v"], "item": ["1", "2"]})
    many = Filters(palate.Dataset.from_frames(frame, log, columns={"item": "id", "price": "attributes"}).items)
    for low, high in ((10, 12), (10, 10), (13, 11), (-5, -1), (198, float("inf")), (float("-inf"), 3), (50, 150)):
        wanted = [price is not None and low <= price <= high for price in prices]
        assert many.mask({"price": {"min": low, "max": high}}).tolist() == wanted


def test_a_value_that_no_item_has_matches_nothing_and_is_named(filters):
    assert not filters.mask({"kind": "lmp"}).any()
    assert filters.unknown({"kind": "lmp"}) == ["filters: no item has 'lmp' as its kind; did you mean lamp?"]
    assert filters.unknown({"kind": ["lamp", "zzz"]}) == ["filters: no item has 'zzz' as its kind"]
    assert (filters.mask({"kind": ["lamp", "zzz"]}) == filters.mask({"kind": "lamp"})).all()
    assert filters.unknown({"kind": "LAMP ", "price": {"min": 1e9}}) == []
