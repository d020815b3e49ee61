"""Reading tables: rows that quotes swallow, encodings, headers, several files, words for no value, hostile files."""

import json
import os
import socket
import warnings
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.absent import ABSENT, drop_absent
from palate.data.check import check
from palate.data.load import load
from palate.data.tables import read_source, read_table

LOG = "user_id,item_id\nu1,1\nu1,2\nu2,3\n"
ITEMS = "item_id,title\n1,a red lamp\n2,a blue chair\n3,a green door\n"


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def folder(root, items=ITEMS, log=LOG, yaml=None, name="items.csv", log_name="interactions.csv", **files):
    root.mkdir(exist_ok=True)
    for file, text in {name: items, log_name: log, **files}.items():
        (root / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    if yaml is not None:
        (root / "palate.yaml").write_text(yaml)
    return root


def ids(root):
    return load(root).items.ids.ids.to_list()


OPEN_QUOTES = '1,plain a b\n2,"Heroes live\n3,plain title here\n4,live again"\n5,the last one\n'


def test_tabs_are_read_without_quotes(tmp_path):
    items = "item_id\ttitle\n" + OPEN_QUOTES.replace(",", "\t")
    data = load(folder(tmp_path / "a", items, name="items.tsv"))
    assert data.items.ids.ids.to_list() == [1, 2, 3, 4, 5]
    assert data.items.frame["title"].to_list()[1] == '"Heroes live' and not check(tmp_path / "a").find("rows_swallowed")


def test_quoted_tabs_lose_their_quotes(tmp_path):
    file = tmp_path / "t.tsv"
    file.write_text('id\ttitle\n1\t"say ""hi"""\n2\t"a b"\n3\t7" single\n')
    assert read_table(file)["title"].to_list() == ['say "hi"', "a b", '7" single']
    file.write_text('id\ttitle\n1\t"a\tb"\n2\t"c\nd"\n')
    assert read_table(file)["title"].to_list() == ["a\tb", "c\nd"]


def test_swallowed_rows_are_named(tmp_path):
    root = folder(tmp_path / "a", "item_id,title\n" + OPEN_QUOTES, "user_id,item_id\nu,1\nv,2\n")
    issue = check(root).find("rows_swallowed")[0]
    assert issue.rows == (2,) and issue.column == "title" and "2 lines" in issue.message
    assert any("look like rows" in note for note in load(root).notes)
    (root / "palate.yaml").write_text("items: {quote: none}\n")
    assert ids(root) == [1, 2, 3, 4, 5] and not check(root).find("rows_swallowed")


def test_rows_swallowed_in_a_middle_column(tmp_path):
    items = 'item_id,title,price\n1,"Heroes live,5\n2,plain title,6\n3,live again",7\n4,the last one,8\n'
    root = folder(tmp_path / "a", items, "user_id,item_id\nu,1\nv,4\n")
    assert check(root).find("rows_swallowed")[0].rows == (1,)


@pytest.mark.parametrize(("log", "rows"), [
    ('"u1,1\nu2",2\nu3,3\n', (1,)),
    ('u1,1\nu2,"2\nu3,3"\nu4,1\n', (2,)),
])  # fmt: skip
def test_rows_swallowed_in_a_log(tmp_path, log, rows):
    source = folder(tmp_path / "a", log="user_id,item_id\n" + log) / "interactions.csv"
    assert [(issue.code, issue.rows) for issue in read_source(source).issues] == [("rows_swallowed", rows)]


def test_a_quote_that_closes_in_another_column(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text('item_id,title,price\n1,"Heroes,5\n2,plain,6"\n3,a b,7\n')
    assert read_source(file).issues[0].rows == (1,)


def test_prose_of_several_lines_is_no_fault(tmp_path):
    items = 'item_id,title\n1,"a lamp\nof red, and more\nof blue"\n2,"x, y\nz"\n3,a b c\n'
    assert not check(folder(tmp_path / "a", items)).find("rows_swallowed")


def test_inches_in_a_field(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text('id,title\n1,7" single\n2,"a, b"\n3,12" record\n')
    assert read_table(file)["title"].to_list() == ['7" single', "a, b", '12" record']


@pytest.mark.parametrize(("yaml", "text"), [
    ("items: {encoding: latin-1}", ITEMS.replace("red", "r\xe9d").encode("latin-1")),
    ("items: {encoding: utf-16}", ITEMS.encode("utf-16")),
    ("items: {separator: '::'}", ITEMS.replace(",", "::")),
    ("items: {separator: tab}", ITEMS.replace(",", "\t")),
    ("items: {header: none, names: [item_id, title]}", ITEMS.partition("\n")[2]),
    ("items: {header: [item_id, title]}", ITEMS.partition("\n")[2]),
    ("items: {header: none, id: column_1}", ITEMS.partition("\n")[2]),
    (None, "sep=;\n" + ITEMS.replace(",", ";")),
    (None, "#exported 2024\n# by hand\n" + ITEMS),
    (None, "\ufeff" + ITEMS),
    (None, ITEMS.replace("title", "title, long").replace(",", ";", 1).replace("\n1,", "\n1;").replace("\n2,", "\n2;")
        .replace("\n3,", "\n3;")),
    (None, ITEMS + "\n\n"),
])  # fmt: skip
def test_forms_of_a_table(tmp_path, yaml, text):
    assert ids(folder(tmp_path / "a", text, yaml=yaml)) == [1, 2, 3]


def test_latin_1_is_hinted(tmp_path):
    with pytest.raises(DataError, match="encoding: cp1252"):
        load(folder(tmp_path / "a", ITEMS.replace("red", "r\xe9d").encode("latin-1")))
    with pytest.raises(DataError, match="encoding: utf-16"):
        load(folder(tmp_path / "a", ITEMS.encode("utf-16")))


@pytest.mark.parametrize("yaml", [
    "items: {encoding: klingon}", "items: {header: maybe}", "items: {names: title}", "items: {separator: ''}",
])  # fmt: skip
def test_bad_forms_are_refused(tmp_path, yaml):
    with pytest.raises(DataError) as caught:
        load(folder(tmp_path / "a", yaml=yaml))
    assert caught.value.file.endswith("palate.yaml")


def test_a_log_without_header_keeps_its_first_event(tmp_path):
    yaml = "interactions: {header: none, names: [who, what], user: who, item: what}"
    assert len(load(folder(tmp_path / "a", log=LOG.partition("\n")[2], yaml=yaml)).interactions) == 3


def test_a_first_line_that_is_a_row_is_hinted(tmp_path):
    with pytest.raises(DataError, match="header: none if the first line is a row"):
        load(folder(tmp_path / "a", log="u1,1,1600000000\nu1,2,1600000001\n"))
    with pytest.raises(DataError, match="header: none if the first line is a row"):
        load(folder(tmp_path / "b", items="1,a red lamp\n2,a blue chair\n"))
    with pytest.raises(DataError) as caught:
        load(folder(tmp_path / "c", log="who,what\nu1,1\n"))
    assert "header: none" not in caught.value.hint


def test_two_files_are_joined_by_their_key(tmp_path):
    more = "item_id,pages\n2,20\n1,10\n4,40\n"
    root = folder(tmp_path / "a", yaml="items: {file: [book.csv, more.csv]}", name="book.csv", **{"more.csv": more})
    frame = load(root).items.frame.sort("item_id")
    assert frame["pages"].to_list() == [10, 20, None, 40] and frame["title"][0] == "a red lamp"
    assert any("joined by 'item_id'" in note for note in load(root).notes)


def test_two_files_of_the_same_columns_are_one_after_the_other(tmp_path):
    yaml = "items: {file: [a.csv, b.csv]}\ninteractions: {file: [x.csv, y.csv]}"
    root = folder(
        tmp_path / "a", yaml=yaml, name="a.csv", log_name="x.csv",
        **{"b.csv": "item_id,title\n04,a b\n", "y.csv": "user_id,item_id\nu9,04\n"},
    )  # fmt: skip
    data = load(root)
    assert data.items.ids.ids.to_list() == ["1", "2", "3", "04"] and len(data.interactions) == 4


def test_a_key_twice_in_a_joined_file_is_refused(tmp_path):
    more = "item_id,pages\n2,20\n2,10\n"
    root = folder(tmp_path / "a", yaml="items: {file: [book.csv, more.csv]}", name="book.csv", **{"more.csv": more})
    with pytest.raises(DataError, match="appears twice") as caught:
        load(root)
    assert caught.value.file.endswith("more.csv") and caught.value.row == 2


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load(folder(tmp_path / "a", yaml="items: {file: [items.csv, no.csv]}"))


def test_two_tables_of_one_name_are_refused(tmp_path):
    root = folder(tmp_path / "a")
    pl.DataFrame({"item_id": [1], "title": ["a b"]}).write_parquet(root / "items.parquet")
    with pytest.raises(DataError, match=r"items\.parquet and items\.csv"):
        load(root)
    (root / "palate.yaml").write_text("items: {file: items.csv}")
    assert ids(root) == [1, 2, 3]
    assert "items.parquet" in check(root).find("file_not_read")[0].message


def test_a_stray_file_of_another_layout_does_not_take_the_folder(tmp_path):
    inter = "userID\titemID\tx_label\n0\t0\t0\n0\t1\t2\n"
    review = '{"reviewerID": "r", "asin": "b", "overall": 5}\n'
    root = folder(tmp_path / "a", **{"old.inter": inter, "reviews.json": review})
    data = load(root)
    assert data.layout == "folder" and data.items.ids.ids.to_list() == [1, 2, 3]
    assert any("old.inter, reviews.json" in note for note in data.notes)


def test_words_for_no_value(tmp_path):
    items = (
        "item_id,title,brand,price\na,red lamp one,NULL,NULL\nb,NULL,x,2\nc,green vase three,nan,3.5\nd,\\N,None,n/a\n"
    )
    data = load(folder(tmp_path / "a", items, "user_id,item_id\nNULL,a\nu1,b\n\\N,c\nu1,d\nnan,b\n"))
    assert data.items.frame["title"].to_list() == ["red lamp one", None, "green vase three", None]
    assert data.items.frame["price"].to_list() == [None, 2, 3.5, None]
    assert data.items.frame["brand"].to_list() == [None, "x", None, None]
    assert data.users.ids.ids.to_list() == ["u1"] and len(data.interactions) == 2
    assert [(issue.code, issue.count) for issue in data.issues if issue.code == "id_missing"] == [("id_missing", 3)]
    assert any("NULL" in note and "absent" in note for note in data.notes)


def test_namibia_stays():
    kept, counts = drop_absent(pl.Series(["NA", "DE", "ZA", "US", "NA", "NULL"]))
    assert kept.to_list() == ["NA", "DE", "ZA", "US", "NA", None] and counts == {"NULL": 1}
    gone, counts = drop_absent(pl.Series(["NA", "Berlin", "Rome", "Oslo", " "]))
    assert gone.to_list() == [None, "Berlin", "Rome", "Oslo", None] and counts == {"NA": 1}


@given(st.lists(st.sampled_from([*ABSENT, "", " ", "\t", "x", "yes", "0"]), max_size=20), st.sampled_from(["", " "]))
def test_absent_words_in_any_column(values, pad):
    column = pl.Series("c", [f"{pad}{value}{pad}" for value in values], dtype=pl.String)
    kept, counts = drop_absent(column)
    assert [value is not None for value in kept.to_list()] == [value in ("x", "yes", "0") for value in values]
    assert sum(counts.values()) == sum(value in ABSENT for value in values)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12),
                               st.sampled_from(['a"b', '7" x', "p,q", "line\nbreak", "tab\tin", '""', "plain"])),
                     min_size=1, max_size=8), ending=st.sampled_from(["csv", "tsv"]))  # fmt: skip
def test_quoted_tables_come_back_as_written(tmp_path_factory, rows, ending):
    frame = pl.DataFrame(
        {"id": [f"i{n}" for n in range(len(rows))], "one": [a for a, _ in rows], "two": [b for _, b in rows]}
    )
    file = tmp_path_factory.mktemp("t") / f"t.{ending}"
    frame.write_csv(file, separator="\t" if ending == "tsv" else ",", quote_style="always")
    read = read_source(file)
    expected = [drop_absent(frame[column])[0].to_list() for column in frame.columns]
    assert [read.spelled(column).cast(pl.String).to_list() for column in frame.columns] == expected


def test_missing_times_are_never_the_oldest(tmp_path):
    lines = [f"u{u},{item},{1600000000 + 1000 * u + at}" for u in range(12) for at, item in enumerate("abcdef")]
    log = "\n".join(["user_id,item_id,timestamp", *(one[:-10] if ",f," in one else one for one in lines)]) + "\n"
    root = folder(tmp_path / "a", "item_id,title\n" + "".join(f"{i},lamp {i} x\n" for i in "abcdef"), log)
    for split in ("leave_one_out", "temporal", "user_cold:test=0.3,valid=0.2"):
        data = load(root, split=split)
        timeless = data.positives.items == 5
        if split == "user_cold:test=0.3,valid=0.2":
            timeless &= data.split.part != 0
        assert (data.split.part[timeless] == -1).all() and (data.split.part >= 0).any()
        assert (data.event_split.part[data.event_split.positive] == data.split.part).all()
    data = load(root, split="leave_one_out")
    names = data.items.ids.ids.to_list()
    assert {names[i] for i in data.positives.items[data.split.part == 2]} == {"e"}
    last = load(root, split="random:test=0,valid=0").select_view()
    assert [last.history[user][-1] for user in range(12)] == [5] * 12
    issue = check(root).find("time_missing")[0]
    assert issue.count == 12 and issue.rows[:3] == (6, 12, 18)


def test_a_blank_part_is_refused(tmp_path):
    with pytest.raises(DataError, match="part is not") as caught:
        load(folder(tmp_path / "a", log="user_id,item_id,part\nu1,1,0\nu1,2,\nu1,3,2\n"))
    assert caught.value.row == 2


def test_a_rule_on_words_is_one_line(tmp_path):
    root = folder(tmp_path / "a", log="user_id,item_id,label\nu1,1,no\nu1,2,yes\n")
    with pytest.raises(DataError, match="'no'") as caught:
        _ = load(root, positive={"label": ">=1"}).positives
    assert caught.value.row == 1 and caught.value.column == "label"
    root = folder(tmp_path / "b", log="user_id,item_id,event\nu1,1,cart\nu1,2,view\nu2,1,view\n")
    with pytest.raises(DataError, match="view, cart"):
        _ = load(root, positive={"event": ["buy"]}).positives


def test_pipes_sockets_and_devices_are_refused(tmp_path):
    root = folder(tmp_path / "a")
    (root / "items.csv").unlink()
    os.mkfifo(root / "items.csv")
    with pytest.raises(DataError, match="a named pipe"):
        load(root)
    (root / "items.csv").unlink()
    (root / "items.csv").write_text(ITEMS)
    for name in ("x.inter", "image_feat.npy"):
        os.mkfifo(root / name)
    with pytest.raises(DataError, match="a named pipe"):
        load(root)
    (root / "image_feat.npy").unlink()
    assert ids(root) == [1, 2, 3]
    with pytest.raises(DataError, match="a device"):
        load("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "users.csv"))
        with pytest.raises(DataError, match="a socket"):
            load(root)


def test_links_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "secret.csv").write_text(ITEMS)
    root = folder(tmp_path / "a")
    (root / "items.csv").unlink()
    (root / "items.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match="leaves the data folder"):
        load(root)
    (root / "items.csv").unlink()
    (root / "kept").mkdir()
    (root / "kept" / "items.csv").write_text(ITEMS)
    (root / "items.csv").symlink_to(root / "kept" / "items.csv")
    assert ids(root) == [1, 2, 3]


def test_a_parquet_file_that_promises_too_much(tmp_path, monkeypatch):
    file = tmp_path / "t.parquet"
    pl.DataFrame({"a": np.zeros(2_000_000, np.int64)}).write_parquet(file)
    assert len(read_table(file)) == 2_000_000
    monkeypatch.setattr("palate.data.tables.PARQUET_BYTES", 1 << 20)
    with pytest.raises(DataError, match="2,000,000 rows"):
        read_table(file)


def npy(header, version=b"\x02\x00", width=4, length=None):
    return b"\x93NUMPY" + version + (length or len(header)).to_bytes(width, "little") + header


@pytest.mark.parametrize("raw", [
    npy(b" " * 200_000),
    npy(b"x", length=2**32 - 1),
    npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }\n"),
    npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n", b"\x01\x00", 2),
    b"\x93NUMPY",
    b"",
])  # fmt: skip
def test_headers_of_matrices(tmp_path, raw):
    root = folder(tmp_path / "a")
    (root / "image_feat.npy").write_bytes(raw)
    with pytest.raises(DataError) as caught:
        load(root)
    assert caught.value.file.endswith("image_feat.npy")


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    from palate.data.readers.shared import vectors

    monkeypatch.setattr(vectors, "UNPACKED", 1 << 10)
    with zipfile.ZipFile(tmp_path / "knn.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image_idx.npy", b"\0" * (1 << 22))
    with pytest.raises(DataError, match="unpacks to"):
        vectors.given_graphs(tmp_path)


def test_json_ids_with_a_gap(tmp_path):
    lines = [{"user_id": "u", "item_id": 1}, {"user_id": "u", "item_id": None}, {"user_id": "v", "item_id": 2.0}]
    root = folder(tmp_path / "a", log="\n".join(map(json.dumps, lines)), log_name="interactions.jsonl")
    assert load(root).interactions.frame["item"].to_list() == [0, 1]


BEFORE = [
    "sep=,\n",
    "SEP=,\r\n",
    "\ufeffsep=,\n",
    "#exported 2024\n",
    "# by me, and you\n",
    "#a\n# b; c, d\n\n",
    "# x\nsep=,\n",
]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lines_before_the_header_are_skipped(tmp_path, before, separator):
    items = before.replace("=,", f"={separator}") + ITEMS.replace(",", separator)
    data = load(folder(tmp_path / "a", items))
    assert data.items.ids.ids.to_list() == [1, 2, 3] and data.items.raw("text")[2] == "a green door"


@pytest.mark.parametrize("header", ["#item_id,title", "# item_id,title", "#item_id,# title"])
def test_a_header_may_begin_with_a_hash(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\n1,a\n2,b\n")
    assert read_table(tmp_path / "t.csv").rows() == [(1, "a"), (2, "b")]


def test_a_first_row_that_begins_with_a_hash_is_a_row(tmp_path):
    (tmp_path / "t.csv").write_text("tag,word\n#a b,item\n#song,movie\n")
    assert len(read_table(tmp_path / "t.csv")) == 2
    (tmp_path / "u.csv").write_text("#foo,bar\n1,book\n2,movie\n")
    assert len(read_table(tmp_path / "u.csv")) == 2


HEADERS = [
    ("item_id;title, long\n1;red\n2;blue\n", ["item_id", "title, long"]),
    ("item_id;title, long\n1;red, big\n2;blue, small\n", ["item_id", "title, long"]),
    ("item_id\ttitle, long\n1\tred, x\n2\tblue\n", ["item_id", "title, long"]),
    ("item_id|title, long; or short\n1|red\n2|blue, or not\n", ["item_id", "title, long; or short"]),
    ("item_id;title, long;brand\n1;red, big;x\n2;blue;y\n3;a, b, c;z\n", ["item_id", "title, long", "brand"]),
    ("item_id,title;subtitle\n1,red\n2,blue;deep\n", ["item_id", "title;subtitle"]),
    ('item_id;"title, long"\n1;"red, big; round"\n2;blue\n', ["item_id", "title, long"]),
    ('item_id,title\n1,"red\nand\nbig"\n2,blue\n', ["item_id", "title"]),
]  # fmt: skip


@pytest.mark.parametrize("text, names", HEADERS)
def test_the_separator_is_the_one_that_divides_the_rows(tmp_path, text, names):
    (tmp_path / "t.csv").write_text(text)
    table = read_table(tmp_path / "t.csv")
    assert table.columns == names and table["item_id"].to_list() == list(range(1, len(table) + 1))
