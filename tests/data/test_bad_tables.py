"""Faulty tables and texts: each gives a DataError that names the place, or is read in the documented way."""

import gzip
import json
import os
import shutil
import tracemalloc
import unicodedata
import warnings

import polars as pl
import pytest

from palate.core.errors import DataError, PalateError
from palate.data.check import check
from palate.data.dataset import Dataset
from palate.data.load import load
from palate.data.media import SAMPLE
from palate.data.tables import read_table

ITEMS = b"id,title,kind\n1,A red lamp,a\n2,A blue chair,b\n3,A green door,a\n"
LOG = b"user,item,time\nu1,1,1500000000\nu1,2,1500000100\nu2,3,1500000200\n"
GOOD_JSON = b'{"id": 1, "title": "a b"}\n{"id": 2, "title": "c d"}\n'


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def table(tmp_path, raw, name="items.csv"):
    file = tmp_path / name
    file.write_bytes(raw)
    return read_table(file)


# name -> (bytes, file name, part of the message, row or None)
REFUSED = {
    "empty file": (b"", "t.csv", "empty", None),
    "empty json": (b"", "t.jsonl", "empty", None),
    "blank first line": (b"\n\n1,2\n", "t.csv", "first line is blank", None),
    "NUL byte": (b"id,a\n1,x\n2,y\x00z\n", "t.csv", "NUL byte", 2),
    "NUL in json": (b'{"id": 1}\n{"id": "\x00"}\n', "t.jsonl", "NUL byte", 1),
    "utf-16 with mark": ("id,a\n1,b\n".encode("utf-16"), "t.csv", "UTF-16", None),
    "utf-16-le": ("id,a\n1,b\n".encode("utf-16-le"), "t.csv", "NUL byte", None),
    "utf-16-be": ("id,a\n1,b\n".encode("utf-16-be"), "t.csv", "NUL byte", None),
    "latin-1": ("id,a\n1,ok\n2,café\n".encode("latin-1"), "t.csv", "not UTF-8", 2),
    "latin-1 header": ("id,é\n1,2\n".encode("latin-1"), "t.csv", "header is not UTF-8", None),
    "latin-1 json": ('{"id": 1}\n{"a": "é"}\n'.encode("latin-1"), "t.jsonl", "not UTF-8", 2),
    "surrogate bytes": (b"id,a\n1,\xed\xa0\x80\n", "t.csv", "not UTF-8", 1),
    "overlong utf-8": (b"id,a\n1,b\n2,\xc0\xaf\n", "t.csv", "not UTF-8", 2),
    "too many fields": (b"id,a\n1,2\n3,4,5\n", "t.csv", "3 fields for 2 columns", 2),
    "quote never closed": (b'id,a\n1,b\n2,"c\n3,d\n', "t.csv", "never closed", 2),
    "text after quote": (b'id,a\n1,"b"c\n2,d\n', "t.csv", "broken quotes", 1),
    "repeated column": (b"id,a,a\n1,2,3\n", "t.csv", "two columns", None),
    "carriage returns beside line feeds": (b"id,a\r1,2\r3,4\r\n5,6\n", "t.csv", "carriage return", None),
    "a zip": (b"PK\x03\x04" + b"x" * 50, "t.csv", "zip or Excel", None),
    "a pickle": (b"\x80\x04\x95" + b"x" * 50, "t.csv", "pickle", None),
    "a picture": (b"\x89PNG\r\n\x1a\n", "t.csv", "picture", None),
    "a numpy array": (b"\x93NUMPY\x01\x00", "t.csv", "NumPy", None),
    "parquet of garbage": (b"PAR1" + b"\xff" * 40, "t.parquet", "cannot be read", None),
    "json bad line": (b'{"id": 1}\n{"id": 2\n{"id": 3}\n', "t.jsonl", "not JSON lines", 2),
    "json array line": (b'{"id": 1}\n[1, 2]\n', "t.jsonl", "not an object", 2),
    "json scalar line": (b'{"id": 1}\n7\n', "t.jsonl", "not an object", 2),
    "json NaN": (b'{"id": 1}\n{"id": NaN}\n', "t.jsonl", "NaN is not JSON", 2),
    "json single quotes": (b"{'id': 1}\n", "t.jsonl", "not JSON lines", 1),
    "json nested deep": (b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "t.jsonl", "not JSON lines", None),
    "json without keys": (b"{}\n{}\n", "t.jsonl", "no keys", None),
    "gzip cut short": (gzip.compress(ITEMS * 100)[:40], "t.csv.gz", "cannot be", None),
    "gzip of garbage": (b"\x1f\x8b" + b"\xff" * 30, "t.csv.gz", "cannot be", None),
    "150,000 columns": (b",".join(b"c%d" % i for i in range(150_000)) + b"\n", "t.csv", "150000 columns", None),
    "endless header": (b"x" * (5 << 20), "t.csv", "header is longer", None),
    "json 30,000 keys": (json.dumps({f"k{i}": 1 for i in range(30_000)}).encode(), "t.jsonl", "30000 columns", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    raw, file, message, row = REFUSED[name]
    with pytest.raises(DataError) as caught:
        table(tmp_path, raw, file)
    assert message in str(caught.value) and caught.value.file == str(tmp_path / file)
    if row is not None:
        assert caught.value.row == row


# name -> (bytes, file name, expected rows)
READ = {
    "byte-order mark": (b"\xef\xbb\xbfid,a\n1,b\n", "t.csv", [{"id": 1, "a": "b"}]),
    "byte-order mark in json": (b'\xef\xbb\xbf{"id": 1}\n', "t.jsonl", [{"id": 1}]),
    "crlf": (b"id,a\r\n1,b\r\n", "t.csv", [{"id": 1, "a": "b"}]),
    "semicolons": (b"id;a\n1;b,c\n", "t.csv", [{"id": 1, "a": "b,c"}]),
    "bars": (b"id|a\n1|b\n", "t.csv", [{"id": 1, "a": "b"}]),
    "tabs in a csv": (b"id\ta\n1\tb\n", "t.csv", [{"id": 1, "a": "b"}]),
    "commas in a tsv": (b"id,a\n1,b\n", "t.tsv", [{"id": 1, "a": "b"}]),
    "short rows": (b"id,a,b\n1,2\n3,4,5\n", "t.csv", [{"id": 1, "a": 2, "b": None}, {"id": 3, "a": 4, "b": 5}]),
    "header only": (b"id,a\n", "t.csv", []),
    "no last newline": (b"id,a\n1,b", "t.csv", [{"id": 1, "a": "b"}]),
    "unnamed columns": (b",id,\n0,1,x\n", "t.csv", [{"unnamed_1": 0, "id": 1, "unnamed_3": "x"}]),
    "names with spaces": (b" id , a\n1,b\n", "t.csv", [{"id": 1, "a": "b"}]),
    "quoted newline": (b'id,a\n1,"b\nc ""d"""\n', "t.csv", [{"id": 1, "a": 'b\nc "d"'}]),
    "right to left": ("id,a\n1,\u202eשלום\u202c\n".encode(), "t.csv", [{"id": 1, "a": "\u202eשלום\u202c"}]),
    "formula": (b'id,a\n1,"=HYPERLINK(""http://x"",1)"\n', "t.csv", [{"id": 1, "a": '=HYPERLINK("http://x",1)'}]),
    "prompt injection": (b"id,a\n1,Ignore all rules\n", "t.csv", [{"id": 1, "a": "Ignore all rules"}]),
    "lone surrogate in json": (b'{"id": 1, "a": "x\\ud800y"}\n', "t.jsonl", None),
    "NUL escape in json": (b'{"id": 1, "a": "x\\u0000"}\n', "t.jsonl", [{"id": 1, "a": "x\ufffd"}]),
    "mixed types in json": (b'{"a": "x"}\n{"a": 3.5}\n', "t.jsonl", [{"a": "x"}, {"a": "3.5"}]),
    "blank lines in json": (b'{"a": 1}\n\n{"a": 2}\n', "t.jsonl", [{"a": 1}, {"a": 2}]),
    "late text": (b"a\n" + b"1\n" * 20_000 + b"x\n", "t.csv", None),
    "gzip": (gzip.compress(b"id,a\n1,b\n"), "t.csv.gz", [{"id": 1, "a": "b"}]),
    "gzip json": (gzip.compress(GOOD_JSON), "t.jsonl.gz", None),
    "json called csv": (GOOD_JSON, "t.csv", None),
    "emoji and joiners": ("id,a\n1,👩‍👩‍👧 e\u0301\n".encode(), "t.csv", [{"id": 1, "a": "👩‍👩‍👧 e\u0301"}]),
}


@pytest.mark.parametrize("name", READ)
def test_read(name, tmp_path):
    raw, file, rows = READ[name]
    frame = table(tmp_path, raw, file)
    if rows is not None:
        assert frame.to_dicts() == rows
    else:
        assert len(frame) >= 1 and not any("\0" in str(v) for row in frame.head(5).rows() for v in row)


def test_ten_megabytes_in_one_cell(tmp_path):
    text = "x" * (10 << 20)
    frame = table(tmp_path, f"id,a\n1,{text}\n2,b\n".encode())
    assert frame["a"].str.len_bytes().to_list() == [10 << 20, 1]
    root = folder(tmp_path / "shop", items=f"id,title\n1,{text} y\n2,b c\n3,d e\n".encode())
    assert check(root).find("text_long")[0].rows == (1,)


def test_gzip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr("palate.data.tables.UNPACKED", 4 << 20)
    bomb = gzip.compress(b"a\n" + b"\0" * (30 << 20), 9)
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more than"):
        table(tmp_path, bomb, "t.csv.gz")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_parquet_cut_anywhere(tmp_path):
    file = tmp_path / "t.parquet"
    pl.DataFrame({"id": list(range(500)), "a": [str(i) for i in range(500)]}).write_parquet(file)
    complete = file.read_bytes()
    for at in range(8, len(complete) - 1, max(1, len(complete) // 40)):
        file.write_bytes(complete[:at])
        with pytest.raises(DataError):
            read_table(file)


def test_not_a_file(tmp_path):
    with pytest.raises(DataError, match="cannot be opened"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="cannot be opened"):
        read_table(tmp_path / "no.csv")


def folder(root, items=ITEMS, log=LOG, settings=None):
    root.mkdir(exist_ok=True)
    (root / "items.csv").write_bytes(items)
    (root / "interactions.csv").write_bytes(log)
    if settings is not None:
        (root / "palate.yaml").write_text(settings, encoding="utf-8")
    return root


def row_of(line, header=b"user,item,time\n"):
    """A log whose second row is ``line``."""
    return header + b"u1,1,1500000000\n" + line + b"\nu2,3,1500000200\n"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{n}: &{n} [{','.join(['*' + m] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi")
)
# name -> (settings of folder(), message, file, row, column)
SHOPS = {
    "duplicate item id": ({"items": b"id,title\n1,a b\n2,c d\n1,e f\n"}, "appears twice", "items.csv", 3, None),
    "empty item id": ({"items": b"id,title\n1,a b\n,c d\n"}, "id is empty", "items.csv", 2, None),
    "integers asked for": (
        {"items": b"id,title\n1.0,a b\n2.5,c d\n", "settings": "ids: integer\n"},
        "not a whole number",
        "items.csv",
        2,
        "id",
    ),
    "no item matches": ({"log": b"user,item\nu,x\nv,y\n"}, "no interaction matches", "interactions.csv", 1, "item"),
    "no user column": ({"log": b"who,item\nu,1\n"}, "which column is the user", "interactions.csv", None, None),
    "no id column": ({"items": b"code,title\n1,a\n"}, "which column is the item id", "items.csv", None, None),
    "negative time": ({"log": row_of(b"u1,2,-5")}, "not a time", "interactions.csv", 2, "time"),
    "time in words": ({"log": row_of(b"u1,2,yesterday")}, "not a time", "interactions.csv", 2, "time"),
    "impossible date": ({"log": row_of(b"u1,2,2020-02-31")}, "not a time", "interactions.csv", 2, "time"),
    "infinite time": ({"log": row_of(b"u1,2,inf")}, "not a time", "interactions.csv", 2, "time"),
    "time beyond 64 bits": (
        {"log": row_of(b"u1,2,99999999999999999999999")},
        "not a time",
        "interactions.csv",
        2,
        "time",
    ),
    "infinite rating": ({"log": row_of(b"u1,2,inf", b"user,item,rating\n")}, "finite", "interactions.csv", 2, "rating"),
    "rating in words": (
        {"log": row_of(b"u1,2,good", b"user,item,rating\n")},
        "finite",
        "interactions.csv",
        2,
        "rating",
    ),
    "unknown part": (
        {"log": b"user,item,part\nu1,1,train\nu1,2,later\n"},
        "part is not",
        "interactions.csv",
        2,
        "part",
    ),
    "part 7": (
        {"log": b"user,item,part\nu1,1,0\nu1,2,7\n", "settings": "interactions: {part: part}\n"},
        "part is not",
        "interactions.csv",
        2,
        "part",
    ),
    "yaml unknown section": ({"settings": "itms: {}\n"}, "did you mean items", "palate.yaml", None, None),
    "yaml unknown column": ({"settings": "items: {text: titel}\n"}, "did you mean title", "items.csv", None, "titel"),
    "yaml unknown kind": ({"settings": "items: {txt: title}\n"}, "did you mean", "palate.yaml", None, None),
    "yaml unknown role": ({"settings": "interactions: {usr: user}\n"}, "did you mean user", "palate.yaml", None, None),
    "yaml role column": (
        {"settings": "interactions: {user: usr}\n"},
        "did you mean user",
        "interactions.csv",
        None,
        "usr",
    ),
    "yaml alias bomb": ({"settings": BOMB}, "aliases are not allowed", "palate.yaml", 1, None),
    "yaml alias": ({"settings": "name: &n x\nsplit: *n\n"}, "aliases", "palate.yaml", 1, None),
    "yaml object tag": (
        {"settings": "name: !!python/object/apply:os.getcwd []\n"},
        "not valid YAML",
        "palate.yaml",
        1,
        None,
    ),
    "yaml broken": ({"settings": "items: {id: [\n"}, "not valid YAML", "palate.yaml", None, None),
    "yaml nested": ({"settings": "items: " + "[" * 500 + "]" * 500}, "nested too deeply", "palate.yaml", 1, None),
    "yaml list": ({"settings": "- items\n"}, "expected sections", "palate.yaml", None, None),
    "yaml section of text": ({"settings": "items: title\n"}, "expected dict", "palate.yaml", None, None),
    "yaml huge": ({"settings": "#" * (2 << 20)}, "larger than 1 MiB", "palate.yaml", None, None),
    "yaml positive key": ({"settings": "positive: {ratng: '>=4'}\n"}, "did you mean rating", "palate.yaml", None, None),
    "yaml file outside": (
        {"settings": "items: {file: ../../etc/passwd}\n"},
        "leaves the data folder",
        "palate.yaml",
        None,
        None,
    ),
    "yaml file absolute": (
        {"settings": "items: {file: /etc/passwd}\n"},
        "leaves the data folder",
        "palate.yaml",
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", SHOPS)
def test_bad_shop(name, tmp_path):
    settings, message, file, row, column = SHOPS[name]
    root = folder(tmp_path / "shop", **settings)
    with pytest.raises(DataError) as caught:
        load(root)
    error = caught.value
    assert message in str(error), error
    assert error.file is not None and error.file.endswith(file), error
    if row is not None:
        assert error.row == row, error
    if column is not None:
        assert error.column == column, error
    report = check(root)
    assert not report.ok and report.issues[0].file == error.file and message in report.render(400)


def times(tmp_path, *values):
    lines = "".join(f"u{n},{1 + n % 3},{value}\n" for n, value in enumerate(values))
    data = load(folder(tmp_path / "shop", log=b"user,item,time\n" + lines.encode()))
    return data.interactions.frame["time"].to_list()


def test_times_are_seconds_utc(tmp_path):
    read = times(tmp_path, "2020-01-01T00:00:00Z", "2020-01-01T02:00:00+02:00", "2020-01-01 00:00:00", "2020-01-01",
                  "2020-01-01 01:30:00.250+01:30", "1/1/2020 12:00:00 AM", "1577836800")  # fmt: skip
    assert read == [1577836800] * 7


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_the_unit_belongs_to_the_column(tmp_path, scale):
    assert times(tmp_path, 1577836800 * scale, 50 * scale, 0) == [1577836800, 50, 0]


def test_wide_ids_become_text(tmp_path):
    big = b"99999999999999999999999"
    root = folder(tmp_path / "a", b"id,title\n" + big + b",a b\n2,c d\n", b"user,item\nu," + big + b"\nv,2\n")
    assert load(root).items.ids.ids.to_list() == [big.decode(), "2"]


def test_whole_floats_are_ids(tmp_path):
    data = load(folder(tmp_path / "a", b"id,title\n1.0,a b\n2.0,c d\n", b"user,item\nu,1\nv,2\n"))
    assert data.items.ids.ids.to_list() == [1, 2] and len(data.interactions) == 2


def test_lost_rows_are_listed(tmp_path):
    root = folder(tmp_path / "a", log=row_of(b"u1,77,1500000000"))
    data = load(root)
    assert len(data.interactions) == 2 and data.interactions.source_row(1) == 3
    issue = check(root).find("unknown_id")[0]
    assert (
        issue.rows == (2,) and issue.key == "77" and issue.column == "item" and issue.file.endswith("interactions.csv")
    )


def test_fault_rows_count_lost_rows(tmp_path):
    root = folder(tmp_path / "a", log=row_of(b"u1,77,1500000000\nu1,2,-1"))
    with pytest.raises(DataError) as caught:
        load(root)
    assert caught.value.row == 3


UNSAFE = ("../../etc/passwd.png", "/etc/passwd.png", "link.png", "sub/../../x.png", "folder/x.png")


@pytest.mark.parametrize("path", UNSAFE)
def test_media_outside_the_folder(path, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    items = f"id,title,picture\n1,a b,ok.png\n2,c d,{path}\n3,e f,\n".encode()
    root = folder(tmp_path / "shop", items, settings="items: {id: id, text: title, image: picture}\n")
    (root / "ok.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path / "out")
    data = load(root)
    with pytest.raises(DataError) as caught:
        data.items.raw("image")
    assert caught.value.row == 2 and caught.value.column == "picture" and caught.value.file.endswith("items.csv")
    report = check(root)
    assert report.find("media_unsafe")[0].rows == (2,) and not report.ok


def test_media_inside_the_folder(tmp_path):
    items = "id,title,picture\n1,a b,ok.png\n2,c d,sub/../ok.png\n3,e f,link.png\n"
    root = folder(tmp_path / "shop", items.encode(), settings="items: {id: id, image: picture}\n")
    (root / "ok.png").write_bytes(b"x")
    (root / "link.png").symlink_to(root / "ok.png")
    moved = tmp_path / "alias"
    moved.symlink_to(root)
    assert all(path.is_file() for path in load(root).items.raw("image"))
    assert all(path.is_file() for path in load(moved).items.raw("image"))


@pytest.mark.parametrize("written, kept", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("joint", ["/", chr(92)])
def test_accents_of_media_paths_may_be_composed_or_not(written, kept, joint, tmp_path):
    path = f"café{joint}thé.png"
    items = f"id,title,picture\n1,a b,{unicodedata.normalize(written, path)}\n"
    root = folder(tmp_path / "shop", items.encode(), settings="items: {id: id, image: picture}\n")
    file = root / unicodedata.normalize(kept, "café") / unicodedata.normalize(kept, "thé.png")
    file.parent.mkdir()
    file.write_bytes(b"x")
    assert load(root).items.raw("image") == [file]


@pytest.mark.parametrize("size", [1, 1000, 3 * SAMPLE, 10 * SAMPLE])
def test_the_hash_sees_a_replaced_picture_of_equal_size_and_time(size, tmp_path):
    items = b"id,title,picture\n1,a b,1.png\n2,c d,2.png\n"
    root = folder(tmp_path / "shop", items, settings="items: {id: id, image: picture}\n")
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (root / "1.png").write_bytes(content)
    before, status = load(root).hash, (root / "1.png").stat()
    for at in {0, size // 2, size - 1}:
        (root / "1.png").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        os.utime(root / "1.png", ns=(status.st_atime_ns, status.st_mtime_ns))
        assert load(root).hash != before
    (root / "1.png").write_bytes(content)
    assert load(root).hash == before
    moved = tmp_path / "elsewhere" / "shop"
    shutil.copytree(root, moved)
    assert load(moved).hash == before


def test_enough_bad_tables():
    assert len(REFUSED) + len(READ) + len(SHOPS) + len(UNSAFE) >= 60


def test_pandas_lone_surrogate_and_mixed_types():
    pandas = pytest.importorskip("pandas")
    log = pandas.DataFrame({"user": ["u", "v"], "item": [1, 2]})
    for title, message in ((["fine", "x\ud800"], 2), (["text", ["list"]], 2)):
        items = pandas.DataFrame({"id": [1, 2], "title": pandas.Series(title, dtype=object)})
        with pytest.raises(DataError) as caught:
            Dataset.from_frames(items, log)
        assert caught.value.column == "title" and caught.value.row == message


def test_random_bytes_never_escape(tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    for n in range(150):
        raw = bytearray(ITEMS if n % 2 else GOOD_JSON)
        for _ in range(1 + n % 6):
            raw[rng.integers(len(raw))] = rng.integers(256)
        file = tmp_path / ("t.csv" if n % 2 else "t.jsonl")
        file.write_bytes(bytes(raw))
        try:
            read_table(file)
        except PalateError as error:
            assert error.file is not None
