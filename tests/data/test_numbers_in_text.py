"""Prices and other numbers in text; the decimal sign belongs to the column."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
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


@pytest.mark.parametrize("text, value", [
    ("3.50-", -3.5), ("(1,234.50)", -1234.5), ("5,-", 5), ("5.-", 5), ("'12.99", 12.99), ("\u200f12.99 ₪", 12.99),
    ("from $4.99", 4.99), ("4,99 € inkl. MwSt.", 4.99), ("£9 (incl. VAT)", 9),
    ("١٢٫٥٠", 12.5), ("1\u202f299,50\u00a0€", 1299.5), ("25%", 25), ("10,000+", 10000), ("1:02:33", 3753),
])  # fmt: skip
def test_other_signs_and_digits(text, value):
    number = parse_number(text)
    assert (number is not None and number.value(",") == pytest.approx(value)) or number.value(".") == value


@pytest.mark.parametrize("values, unit, expected", [
    (["12 kg", "3.5kg", "1200 g"], "kg", [12, 3.5, 1.2]),
    (["500ml", "1 l", "330 ml"], "ml", [500, 1000, 330]),
    (["142 min", "98 min", "2 hours"], "min", [142, 98, 120]),
    (["12,5 %", "7 %"], "%", [12.5, 7]),
    (["2 cm", "1 cm", "3"], "cm", [2, 1, 3]),
    (["5 stars", "4 stars"], "stars", [5, 4]),
])  # fmt: skip
def test_the_unit_belongs_to_the_column(values, unit, expected):
    read = number_column(pl.Series(values))
    assert read.unit == unit and read.values.to_list() == pytest.approx(expected)


def test_units_of_different_kinds_are_no_numbers():
    assert number_column(pl.Series(["12 kg", "3 cm"])) is None
    assert number_column(pl.Series(["10 x 20 cm", "5 x 5 cm"])) is None


def test_brackets_around_every_value_are_no_minus():
    assert number_column(pl.Series(["(12)", "(1,234)"])).values.to_list() == [12, 1234]
    assert number_column(pl.Series(["(12)", "7"])).values.to_list() == [-12, 7]


def weights(values, name="weight"):
    items = pl.DataFrame({"id": [f"i{row}" for row in range(len(values))], name: values})
    log = pl.DataFrame({"user": ["u", "v"], "item": ["i0", "i1"]})
    return Dataset.from_frames(items, log)


def test_new_items_are_read_in_the_unit_of_the_column():
    catalog = weights(["12 kg", "3 kg", "500 g"]).items
    rows = catalog.cast_rows(pl.DataFrame({"id": ["n", "m"], "weight": ["250 g", "2"]}))
    assert rows["weight"].to_list() == pytest.approx([0.25, 2.0])
    with pytest.raises(DataError):
        catalog.cast_rows(pl.DataFrame({"id": ["n"], "weight": ["3 cm"]}))


def test_words_among_prices_are_absent_and_counted():
    data = weights(["Free", "$4.99", "$1.99", "Free"], "price")
    assert data.items.frame["price"].to_list() == [None, 4.99, 1.99, None]
    assert {issue.code: issue.count for issue in data.issues}["value_unread"] == 2
    words = weights(["2 for $4.99", "3 for $5.99"], "price")
    assert words.items.frame["price"].dtype == pl.String
    assert [issue.column for issue in words.issues if issue.code == "number_as_category"] == ["price"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_grams_and_kilograms_are_one_measure(grams, large):
    texts = [f"{one / 1000} kg" if big else f"{one} g" for one, big in zip(grams, large)]
    read = number_column(pl.Series(texts))
    factor = {"kg": 1000, "g": 1}[read.unit]
    assert [value * factor for value in read.values.to_list()] == pytest.approx(grams)
