"""Prices and other numbers in text; the decimal sign belongs to the column."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data.column_kinds import guess_column
from palate.data.dataset import Dataset
from palate.data.numbers_in_text import number_column, parse_number

PRICES = {
    "$1,299.00": 1299.0,
    "€ 1.940,34": 1940.34,
    "12,99": 12.99,
    "1 299 kr": 1299.0,
    "USD 5": 5.0,
    "1'299.00 CHF": 1299.0,
    "£.99": 0.99,
    "5,-": 5.0,
    "R$ 10": 10.0,
    "1 299,50 €": 1299.5,
    "$5.00 - $9.00": 5.0,
    "-3.5": -3.5,
    "1.299.000": 1299000.0,
    "1e3": 1000.0,
    "12,99 €": 12.99,
    "￥300": 300.0,
}


@pytest.mark.parametrize("text", PRICES)
def test_prices(text):
    number = parse_number(text)
    assert number is not None and number.value(".") == pytest.approx(PRICES[text])


@pytest.mark.parametrize(
    "text", ["31.12.2020", "1,2,3", "12 99", "3 for 2", "abc", "", "10-20", "1.2.3", "A12", "10:30"]
)
def test_other_texts_are_no_numbers(text):
    assert parse_number(text) is None


def test_the_column_decides_what_its_spellings_leave_open():
    assert number_column(pl.Series(["1.299", "2,50"])).values.to_list() == [1299.0, 2.5]
    assert number_column(pl.Series(["1,299", "2.50"])).values.to_list() == [1299.0, 2.5]
    euros = number_column(pl.Series(["1.299 €", "2.499 €"]))
    assert euros.values.to_list() == [1299.0, 2499.0] and euros.ambiguous
    both = number_column(pl.Series(["$1,299.00", "€ 1.940,34"]))
    assert both.values.to_list() == [1299.0, 1940.34]


def test_codes_are_no_numbers():
    assert number_column(pl.Series(["00123", "00456"])) is None
    assert guess_column(pl.Series("brand_code", ["12", "13"])).form == "category"


def test_a_shop_has_prices_as_numbers_and_says_so():
    items = {"id": list("abcdefghijkl"), "price": ["$1,299.00", "$4.99", "$1,050.00", "on request", *["$5.00"] * 8]}
    data = Dataset.from_frames(pl.DataFrame(items), pl.DataFrame({"user": [1, 2], "item": ["a", "b"]}))
    assert data.items.frame["price"].to_list()[:4] == [1299.0, 4.99, 1050.0, None]
    assert {issue.code: issue.rows for issue in data.issues if issue.column == "price"}["value_unread"] == (4,)
    kept = Dataset.from_frames(
        pl.DataFrame(items), pl.DataFrame({"user": [1, 2], "item": ["a", "b"]}), columns={"price": "category"}
    )
    assert kept.items.frame["price"].dtype == pl.String


def write(cents, mark, currency):
    group = {",": ".", ".": ","}[mark]
    return f"{currency}{cents // 100:,}".replace(",", group) + f"{mark}{cents % 100:02d}"


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    st.sampled_from(".,"),
    st.sampled_from(["", "$", "€ ", "USD "]),
)
def test_any_amounts_in_any_locale_come_back(amounts, mark, currency):
    read = number_column(pl.Series([write(cents, mark, currency) for cents in amounts]))
    assert read.values.to_list() == pytest.approx([cents / 100 for cents in amounts])


@pytest.mark.parametrize(
    "text, value", [("₹1,23,456.00", 123456), ("12,34,567", 1234567), ("−4", -4), ("$ −1,299.50", -1299.5)]
)
def test_groups_of_two_and_the_sign_of_minus(text, value):
    number = parse_number(text)
    assert number is not None and number.value(".") == value


@pytest.mark.parametrize("text", ["1,23", "1,23,45", "123,45,678", "1,2,345"])
def test_other_groups_are_no_thousands(text):
    number = parse_number(text)
    assert number is None or number.decimal == ","
