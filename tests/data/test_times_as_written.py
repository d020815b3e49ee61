"""Times as systems write them: zones, placeholders, two columns, short years, and columns that are no times."""

import datetime as dt
import warnings

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.times import read_times

NEW_YEAR = 1577836800
ITEMS = pl.DataFrame({"item_id": ["a", "b"]})


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def seconds(*values):
    return read_times(pl.Series("when", values, strict=False), "log.csv").seconds.to_list()


def shop(**columns):
    rows = len(next(iter(columns.values())))
    log = {"user_id": ["u", "v"] * rows, "item_id": ["a", "b"] * rows}
    return Dataset.from_frames(ITEMS, pl.DataFrame({name: one[:rows] for name, one in log.items()} | columns))


def issue(data, code):
    return next((one for one in data.issues if one.code == code), None)


@pytest.mark.parametrize("text, expected", [
    ("2020-01-01 01:00:00 CET", NEW_YEAR),
    ("2019-12-31 16:00:00 PST", NEW_YEAR),
    ("2020-01-01T01:00:00+01:00[Europe/Berlin]", NEW_YEAR),
    ("Wed Jan 01 2020 01:00:00 GMT+0100 (Central European Standard Time)", NEW_YEAR),
    ("[01/Jan/2020:00:00:00 +0000]", NEW_YEAR),
    ("01-JAN-20 12.00.00.000000 AM", NEW_YEAR),
    ("1/1/2020 12:01 a.m.", NEW_YEAR + 60),
    ("2020年1月1日", NEW_YEAR),
    ("2020年1月1日 0時5分", NEW_YEAR + 300),
    ("01.01.2020 um 00:05 Uhr", NEW_YEAR + 300),
    ("2020-01", NEW_YEAR),
    ("2020-W02", NEW_YEAR + 5 * 86400),
    ("\u200e1/1/2020", NEW_YEAR),
    ("1,577,836,800", NEW_YEAR),
    ("43831,5", NEW_YEAR + 43200),
    ("31.12.98", 915062400),
])  # fmt: skip
def test_forms_of_systems(text, expected):
    assert seconds(text) == [expected]


def test_years_of_two_digits_are_never_years_before_1000():
    assert seconds("13-01-20", "01-01-20") == [NEW_YEAR + 12 * 86400, NEW_YEAR]
    first = read_times(pl.Series([f"20-01-{day:02d}" for day in range(1, 29)]), None)
    assert first.seconds[0] == NEW_YEAR and "first number is taken to be the year" in first.doubt
    assert seconds("99-12-31", "98-12-31") == [946598400, 915062400]
    assert not read_times(pl.Series(["1/31/20", "2/1/20"]), None).doubt


@pytest.mark.parametrize("nothing", [
    "0000-00-00", "0000-00-00 00:00:00", "0001-01-01T00:00:00", "9999-12-31", "1900-01-01 00:00:00", "12/30/1899",
])  # fmt: skip
def test_dates_that_stand_for_none_are_absent_and_counted(nothing):
    read = read_times(pl.Series([nothing, "2020-01-01"]), None)
    assert read.seconds.to_list() == [None, NEW_YEAR] and read.absent.startswith("1 of the dates")
    data = shop(time=[nothing, "2020-01-01"])
    assert issue(data, "time_placeholder") and issue(data, "time_missing").count == 1


def test_dates_that_stand_for_none_in_typed_tables():
    values = pl.Series([dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31), dt.datetime(2020, 1, 1)])
    assert read_times(values, None).seconds.to_list() == [None, None, NEW_YEAR]


def test_times_before_1970_are_called_so():
    with pytest.raises(DataError, match="before 1970"):
        seconds("1965-03-01")


@pytest.mark.parametrize("clocks", [
    ["14:05", "09:00"], ["14:05:00", "09:00:00"], ["2:05 PM", "9:00 AM"], ["2:05 p.m.", "9:00 a.m."],
])  # fmt: skip
@pytest.mark.parametrize("names", [("date", "time"), ("order_date", "order_time"), ("date", "Uhrzeit")])
def test_a_date_and_a_time_of_day_are_one_time(clocks, names):
    data = shop(**{names[0]: ["01/13/2020", "01/13/2020"], names[1]: clocks})
    assert data.interactions.array("time").tolist() == [NEW_YEAR + 12 * 86400 + s for s in (50700, 32400)]
    assert not issue(data, "column_unused")


def test_a_time_of_day_is_taken_back_and_odd_ones_are_named():
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "date": ["2020-01-01"], "time": ["14:05"]})
    data = Dataset.from_frames(ITEMS, log, roles={"clock": None})
    assert data.interactions.array("time").tolist() == [NEW_YEAR]
    with pytest.raises(DataError, match="not a time of day") as caught:
        Dataset.from_frames(ITEMS, log.with_columns(time=pl.lit("noon")), roles={"time": "date", "clock": "time"})
    assert caught.value.row == 1 and caught.value.column == "time"


@pytest.mark.parametrize("name", ["watch_time", "viewTime"])
def test_durations_are_no_times(name):
    data = shop(**{name: [13.5, 27.0]})
    assert not data.interactions.has("time") and issue(data, "column_unused").column == name
    assert shop(**{name: [1_577_836_800, 1_577_836_801]}).interactions.has("time")


def test_hours_and_weekdays_are_doubted_and_counters_are_said():
    hours = shop(time=[hour % 24 for hour in range(48)])
    assert "hours or days" in issue(hours, "time_ambiguous").message
    days = shop(day=list(range(100, 150)))
    assert "counter" in issue(days, "time_form").message and not issue(days, "time_ambiguous")


def test_words_in_a_column_called_day_have_a_way_out():
    with pytest.raises(DataError, match="not a time") as caught:
        shop(day=["Monday", "Tuesday"])
    assert "time: null" in caught.value.hint


def test_shortened_times_are_doubted():
    assert "shortened" in read_times(pl.Series([1.60946e12, 1.60947e12]), None).doubt
    assert not read_times(pl.Series([1609459200123.0, 1609459200456.0]), None).doubt


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(10**8, 4 * 10**9), min_size=1, max_size=10),
    st.sampled_from(["%Y-%m-%d|%H:%M:%S", "%d.%m.%Y|%H:%M:%S", "%m/%d/%Y|%I:%M:%S %p"]),
)
def test_times_in_two_columns_come_back(values, forms):
    # a day above 12 shows the order of day and month
    values = [*values, NEW_YEAR - 86400]
    date, clock = forms.split("|")
    moments = [dt.datetime.fromtimestamp(value, dt.UTC) for value in values]
    data = shop(date=[one.strftime(date) for one in moments], time=[one.strftime(clock) for one in moments])
    assert data.interactions.array("time").tolist() == values
