"""Tables as spreadsheets, databases and reports export them: titles, escapes, odd separators, marks of an end."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.load import load
from palate.data.tables import read_source

ITEMS = "item_id,title\n" + "".join(f"i{row},a fine lamp {row}\n" for row in range(9))
LOG = "user_id,item_id\n" + "".join(f"u{row % 5},i{row % 9}\n" for row in range(30))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def folder(path, items=ITEMS, log=LOG, yaml=None):
    for name, text in (("items.csv", items), ("interactions.csv", log), ("palate.yaml", yaml)):
        if text is not None:
            (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path, text, name="t.csv"):
    (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_source(path / name)


def codes(issues):
    return [issue.code for issue in issues]


def test_marks_with_backslashes_belong_to_the_value(tmp_path):
    table = read(tmp_path, 'id,title,n\n"a","a \\"fine\\" lamp, red",1\nb,"plain ""two""",2\n')
    assert table.frame["title"].to_list() == ['a "fine" lamp, red', 'plain "two"']
    assert codes(table.issues) == ["quotes_escaped"]


def test_backslashes_that_escape_nothing_stay(tmp_path):
    table = read(tmp_path, 'id,path\na,"pics\\a.png"\nb,12" single\n')
    assert table.frame["path"].to_list() == ["pics\\a.png", '12" single'] and not table.issues


@pytest.mark.parametrize("row", ['"the "best" lamp"', '"Weird Al" Yankovic', '"x" y, z"'])
def test_marks_in_the_middle_of_a_quoted_field_are_refused_by_row(tmp_path, row):
    with pytest.raises(DataError) as caught:
        read(tmp_path, f"id,title\na,one\nb,{row}\n")
    assert caught.value.row == 2


@given(st.lists(st.text(st.characters(exclude_characters="\\\x00", codec="utf-8"), max_size=8), min_size=1, max_size=6))
def test_doubled_and_escaped_marks_are_the_same_value(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("marks")
    values = [
        f'x"{value.strip()}"y' for value in values if not set(value) & set("\r\n\x1a\x1c\x1d\x1e\x85\u2028\u2029")
    ]
    rows = [[value.replace('"', mark) for value in values] for mark in ('""', '\\"')]
    doubled, escaped = (read(path, "v,n\n" + "".join(f'"{one}",1\n' for one in row)) for row in rows)
    assert doubled.frame["v"].to_list() == escaped.frame["v"].to_list() == values or not values


@pytest.mark.parametrize("titles", ["Report: products\nDate: 2021-01-01\n\n", "Exported by ACME,\n,\n", "All lamps\n"])
def test_titles_above_the_header_are_skipped_and_said(tmp_path, titles):
    data = load(folder(tmp_path, items=titles + ITEMS))
    assert data.n_items == 9 and data.items.kinds == {"title": "text"}
    (said,) = (issue for issue in data.issues if issue.code == "lines_skipped")
    assert said.count == sum(bool(line.strip(",")) for line in titles.splitlines())


def test_a_header_above_words_of_usual_names_is_a_header(tmp_path):
    table = read(tmp_path, "sku,colour\ntitle,brand\nname,item\n")
    assert table.frame.columns == ["sku", "colour"] and len(table.frame) == 2 and not table.issues


@pytest.mark.parametrize("items", [
    " item_id | title \n---------+--------\n i0 | lamp 0 \n(1 row)\n",
    "| item_id | title |\n|---|:---|\n| i0 | lamp 0 |\n",
])  # fmt: skip
def test_tables_made_for_reading_are_refused(tmp_path, items):
    with pytest.raises(DataError, match="ruled line"):
        load(folder(tmp_path, items=items))


@pytest.mark.parametrize("separator", ["^", "::", "\x01", "~"])
def test_rare_separators_are_found(tmp_path, separator):
    data = load(folder(tmp_path, items=ITEMS.replace(",", separator), log=LOG.replace(",", separator)))
    assert data.items.ids.ids[1] == "i1" and data.items.frame["title"][1] == "a fine lamp 1"
    assert len(data.interactions) == 30


def test_a_log_may_be_divided_by_spaces(tmp_path):
    assert len(load(folder(tmp_path, log=LOG.replace(",", " "))).interactions) == 30


def test_returns_alone_end_lines(tmp_path):
    data = load(folder(tmp_path, items=ITEMS.replace("\n", "\r"), log=LOG.replace("\n", "\r")))
    assert data.n_items == 9 and len(data.interactions) == 30


@pytest.mark.parametrize("end", ["\x1a", "\x1a\n", "\r\n\x1a"])
def test_the_mark_of_an_end_is_no_row(tmp_path, end):
    data = load(folder(tmp_path, items=ITEMS + end, log=LOG + end))
    assert data.n_items == 9 and data.n_users == 5 and "id_missing" not in codes(data.issues)


@pytest.mark.parametrize("name, text", [("items", ITEMS), ("interactions", LOG)])
def test_a_first_row_is_not_taken_for_a_header(tmp_path, name, text):
    headless = text.split("\n", 1)[1]
    names = {"items": "item_id, title", "interactions": "user_id, item_id"}[name]
    tables = {"items": headless} if name == "items" else {"log": headless}
    with pytest.raises(DataError) as caught:
        load(folder(tmp_path, **tables))
    assert "header: none" in caught.value.hint and name in str(caught.value)
    data = load(folder(tmp_path, yaml=f"{name}: {{header: none, names: [{names}]}}\n", **tables))
    assert data.n_items == 9 and len(data.interactions) == 30


def test_numbers_as_names_hint_at_a_missing_header(tmp_path):
    with pytest.raises(DataError, match="two columns") as caught:
        read(tmp_path, "0\t0\t5\n1\t2\t3\n", "t.tsv")
    assert "header: none" in caught.value.hint


def test_text_of_spreadsheets_is_read_as_it_shows(tmp_path):
    items = "item_id,title\n" + "".join(f'"=""{row:04d}""",lamp {row}\n' for row in range(9))
    log = "user_id,item_id\n" + "".join(f"u{row % 5},{row % 9:04d}\n" for row in range(30))
    data = load(folder(tmp_path, items=items, log=log))
    assert data.items.ids.ids.to_list() == [f"{row:04d}" for row in range(9)] and len(data.interactions) == 30
    assert "formula_text" in codes(data.issues)


def test_errors_of_spreadsheets_are_absent(tmp_path):
    prices = ["12.5", "#REF!", "#DIV/0!", "3", "#VALUE!", "5"]
    items = "item_id,price\n" + "".join(f"i{row},{price}\n" for row, price in enumerate(prices))
    data = load(folder(tmp_path, items=items))
    assert data.items.frame["price"].to_list() == [12.5, None, None, 3, None, 5]
    assert any("#REF! 1" in note for note in data.notes)
