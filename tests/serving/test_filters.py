"""Filters: exact masks over attributes, and errors that name what is wrong."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        "made": ["2020-01-31", "2020-03-31T23:30:00", "2021-06-01", None, "2024-02-29", "1955-05-05"],
        "told": ["31.01.2020", "28.02.2020", "01.06.2021", None, "29.02.2024", "05.05.1955"],
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
        ({"tags": {"all": ["new", "red"]}}, "b"),
        ({"tags": {"any": ["new", "red"]}}, "abe"),
        ({"tags": {"any": ["new", "red"], "not": "red"}}, "a"),
        ({"tags": {"all": ["red"], "not": ["new", "old"]}}, "e"),
        ({"kind": {"not": "lamp"}}, "cdf"),
        ({"kind": {"not": ["lamp", "vase"]}}, "df"),
        ({"price": {"not": {"min": 6, "max": 15}}}, "acdf"),
        ({"price": {"max": 10, "not": 5}}, "bf"),
        ({"price": [5, 20]}, "ad"),
        ({"price": "10.5"}, "e"),
        ({"made": "2020"}, "ab"),
        ({"made": {"min": "2020-03", "max": "2020-03"}}, "b"),
        ({"made": {"min": "2020-03-31"}}, "bce"),
        ({"made": {"max": "1969"}}, "f"),
        ({"made": {"not": {"max": "2020"}}}, "cde"),
        ({"made": ["2020-01", "2021"]}, "ac"),
        ({"told": {"min": "2020-02-01", "max": "2020-02-28"}}, "b"),
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
        ({"kind": {"min": 3}}, "bounds are for numbers"),
        ({"kind": {"not": {"max": 3}}}, "bounds are for numbers"),
        ({"kind": {"any": ["lamp", True]}}, "not a number or text"),
        ({"price": {"not": {"least": 3}}}, "min, max, any, all, not"),
        ({"made": "soon"}, "not a date.*2020-03"),
        ({"made": {"min": "2020-13"}}, "not a date"),
        ({"price": {"least": 3}}, "min, max"),
        ({"price": "cheap"}, "not a number"),
        ({"price": {"min": True}}, "not a number"),
        ({"price": {"min": float("nan")}}, "not a number"),
        ({"price": {"min": "nan"}}, "not a number"),
        ({"price": {"not": "NaN"}}, "not a number"),
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


@given(
    st.lists(st.lists(st.sampled_from("abc"), unique=True) | st.none(), min_size=2, max_size=12),
    st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
    st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
)
def test_parts_of_a_filter_are_those_of_sets(cells, wanted, refused):
    frame = pl.DataFrame(
        {"item": [str(at) for at in range(len(cells))], "tags": pl.Series(cells, dtype=pl.List(pl.String))}
    )
    log = pl.DataFrame({"user": ["u", "v"], "item": ["0", "1"]})
    kinds = {"item": "id", "tags": "attributes"}
    found = Filters(palate.Dataset.from_frames(frame, log, columns=kinds).items)
    sets = [set(cell or ()) for cell in cells]
    if not any(sets):
        return
    for condition, truth in (
        (wanted, lambda one: bool(one & set(wanted))),
        ({"any": wanted}, lambda one: bool(one & set(wanted))),
        ({"all": wanted}, lambda one: one >= set(wanted)),
        ({"not": wanted}, lambda one: not one & set(wanted)),
        ({"not": {"all": wanted}}, lambda one: not one >= set(wanted)),
        ({"any": wanted, "not": refused}, lambda one: bool(one & set(wanted)) and not one & set(refused)),
    ):
        assert found.mask({"tags": condition}).tolist() == [truth(one) for one in sets], condition
