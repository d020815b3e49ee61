"""Times: unit, order of day and month, and form belong to the column; its order is always kept."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.times import looks_like_time, read_times

NEW_YEAR = 1577836800


def seconds(*values, time_format=None):
    return read_times(pl.Series("when", values, strict=False), "log.csv", time_format).seconds.to_list()


@pytest.mark.parametrize("values, expected", [
    ([20200101, 20191231], [NEW_YEAR, NEW_YEAR - 86400]),
    (["20200101", "20200102"], [NEW_YEAR, NEW_YEAR + 86400]),
    ([20200101000010], [NEW_YEAR + 10]),
    ([202001, 202002], [NEW_YEAR, NEW_YEAR + 31 * 86400]),
    ([2020, 1970], [NEW_YEAR, 0]),
    ([43831, 43832.5], [NEW_YEAR, NEW_YEAR + 129600]),
    ([NEW_YEAR * 1000, 5_000_000_000], [NEW_YEAR, 5_000_000]),
    ([5, 100, 2000], [5, 100, 2000]),
    (["2020-01-01 00:00:00 UTC", "2020-01-01 00:00:01.5 UTC"], [NEW_YEAR, NEW_YEAR + 1]),
    (["2020-01-01T02:00:00+02:00", "2020-01-01T00:00:00Z"], [NEW_YEAR, NEW_YEAR]),
    (["31/12/2019", "01/01/2020"], [NEW_YEAR - 86400, NEW_YEAR]),
    (["12/31/2019", "01/01/2020 00:01"], [NEW_YEAR - 86400, NEW_YEAR + 60]),
    (["31.12.2019 23:59"], [NEW_YEAR - 60]),
    (["01/01/2020 12:00:01 AM"], [NEW_YEAR + 1]),
    (["Jan 1, 2020", "1 January 2020"], [NEW_YEAR, NEW_YEAR]),
    (["01 1, 2020"], [NEW_YEAR]),
    (["Wed, 01 Jan 2020 00:00:00 +0000"], [NEW_YEAR]),
    ([dt.date(2020, 1, 1), None], [NEW_YEAR, None]),
    ([float("nan"), 1.6e9], [None, 1_600_000_000]),
])  # fmt: skip
def test_forms(values, expected):
    assert seconds(*values) == expected


def test_the_form_may_be_given():
    assert seconds("2020~01~01", time_format="%Y~%m~%d") == [NEW_YEAR]
    assert seconds(2020, time_format="counter") == [2020] and seconds(5000, time_format="ms") == [5]


def test_what_cannot_be_told_is_said():
    assert "day" in read_times(pl.Series(["01/02/2020"]), None).doubt
    assert not read_times(pl.Series(["01/02/2020", "13/02/2020"]), None).doubt
    assert read_times(pl.Series([NEW_YEAR, NEW_YEAR * 1000]), None).doubt


@pytest.mark.parametrize(
    "values", [["10:00", "11:00"], ["yesterday"], ["2020-02-31"], [-5], ["31/12/2019", "12/31/2019"]]
)
def test_refused_by_the_name_of_the_column(values):
    with pytest.raises(DataError, match="not a time") as caught:
        seconds(*values)
    assert caught.value.column == "when" and caught.value.row == 1


def test_errors_of_a_log_name_its_own_columns():
    log = {"user": [1, 2], "item": ["a", "b"], "ordered_at": ["10:00", "11:00"]}
    with pytest.raises(DataError) as caught:
        Dataset.from_frames(pl.DataFrame({"id": ["a", "b"]}), pl.DataFrame(log))
    assert caught.value.column == "ordered_at"
    data = Dataset.from_frames(
        pl.DataFrame({"id": ["a", "b"]}),
        pl.DataFrame({**log, "ordered_at": ["2020~01~01", "2020~01~02"]}),
        roles={"time_format": "%Y~%m~%d"},
    )
    assert data.interactions.array("time").tolist() == [NEW_YEAR, NEW_YEAR + 86400]


def test_columns_that_look_like_times():
    assert looks_like_time(pl.Series(["2020-01-01"])) and looks_like_time(pl.Series([NEW_YEAR * 1000]))
    assert not looks_like_time(pl.Series([1, 2, 3])) and not looks_like_time(pl.Series(["a", "b"]))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 4 * 10**9), min_size=1, max_size=20), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_the_order_of_a_column_is_kept_in_any_unit(values, unit):
    read = seconds(*[value * unit for value in sorted(values)])
    assert read == sorted(read) and len(set(read)) <= len(set(values))


DATES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d %b %Y %H:%M:%S")
FORMS = (*DATES, "%Y%m%d%H%M%S")


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(10**8, 4 * 10**9), min_size=1, max_size=10), st.sampled_from(FORMS))
def test_dates_in_any_form_come_back(values, form):
    # a day above 12 shows the order of day and month
    values = [*values, NEW_YEAR - 86400]
    texts = [dt.datetime.fromtimestamp(value, dt.UTC).strftime(form) for value in values]
    assert seconds(*texts) == values


def test_zeros_beside_recent_times_are_named():
    read = read_times(pl.Series("t", [1_600_000_000, 0, 1_600_000_001, 0]), None)
    assert read.seconds.to_list()[1] == 0 and "2 of the times are 0" in read.doubt
    assert not read_times(pl.Series("t", [0, 1, 5]), None).doubt
    assert not read_times(pl.Series("t", [1_600_000_000, 1_600_000_001]), None).doubt
    assert not read_times(pl.Series("t", [0, 0]), None).doubt
