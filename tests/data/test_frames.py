"""Dataset.from_frames, the catalogue and its hash."""

import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from palate.core.content import Features
from palate.core.errors import DataError
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.data.relations import Edges, Relations

ITEMS = {
    "sku": ["a", "b", "c", "d"],
    "title": ["a red lamp", None, "  ", "a blue chair"],
    "photo": ["a.jpg", "b.jpg", None, ""],
    "price": [1.5, None, 3.0, None],
    "tags": [["x", "y"], None, [], ["z"]],
}
LOG = {
    "user": ["u", "u", "v", "v", "w"],
    "sku": ["a", "b", "a", "c", "d"],
    "timestamp": [10, 20, 10, 30, 5],
    "rating": [5.0, 3.0, 4.0, 1.0, 4.5],
}
KINDS = {"sku": "id", "title": "text", "photo": "image", "price": "attributes", "tags": "attributes"}


def build(items=ITEMS, log=LOG, **settings):
    return Dataset.from_frames(pl.DataFrame(items), pl.DataFrame(log), **{"columns": KINDS, **settings})


def test_guesses_are_notes():
    data = build(columns=None)
    assert data.items.kinds == {key: kind for key, kind in KINDS.items() if kind != "id"} | {"title": "text"}
    assert any("id is 'sku'" in note for note in data.notes) and any("time is 'timestamp'" in n for n in data.notes)


def test_pandas_and_polars_agree():
    pandas = pytest.importorskip("pandas")
    one = build()
    two = Dataset.from_frames(pandas.DataFrame(ITEMS), pandas.DataFrame(LOG), columns=KINDS)
    assert one.items.ids.ids.to_list() == two.items.ids.ids.to_list()
    assert one.interactions.frame.equals(two.interactions.frame)
    for modality in one.items.modalities:
        assert one.items.raw(modality) == two.items.raw(modality)
    assert one.hash == two.hash


def test_pandas_gaps_and_categories():
    pandas = pytest.importorskip("pandas")
    items = pandas.DataFrame({"id": [1.0, 2.0, 3.0], "colour": pandas.Categorical(["red", None, "blue"])})
    log = pandas.DataFrame({"user": ["u", "v", "w"], "item": [1.0, None, 3.0]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = Dataset.from_frames(items, log, columns={"id": "id", "colour": "attributes"})
    assert data.items.ids.ids.to_list() == [1, 2, 3] and len(data.interactions) == 2
    assert "row 2" in str(caught[0].message)
    assert data.items.raw("attributes") == [{"colour": "red"}, None, {"colour": "blue"}]


@pytest.mark.parametrize("ids", [[10, 20, 30], ["10", "x", "30"], ["007", "7", "07"]])
def test_string_and_integer_ids(ids):
    data = Dataset.from_frames(pl.DataFrame({"id": ids}), pl.DataFrame({"user": [1, 1, 2], "item": ids}))
    assert data.items.ids.external(data.positives.items[:0]) == []
    assert data.items.ids.rows(ids[::-1]).tolist() == [2, 1, 0]
    assert data.items.ids.external(np.array([1])) == [ids[1]]
    assert data.items.ids.rows([str(i) for i in ids]).tolist() == [0, 1, 2]


def test_unknown_ids():
    ids = build().items.ids
    with pytest.raises(DataError, match="unknown item id") as caught:
        ids.rows(["a", "zzz"])
    assert caught.value.key == "zzz"
    assert ids.rows(["a", "zzz", "d"], "skip").tolist() == [0, 3]
    assert ids.rows(["a", "zzz", "d"], "mark").tolist() == [0, -1, 3]
    integers = IdMap([1, 2, 3])
    assert integers.rows([1.0, 2.5, float("nan")], "mark").tolist() == [0, -1, -1]
    for bad in ([True, False], [[1], [2]], [b"x"], [1, "a"]):
        with pytest.raises(DataError):
            IdMap(bad)


def test_missing_modalities_are_a_mask():
    data = build()
    assert data.items.raw("text") == ["a red lamp", None, None, "a blue chair"]
    assert data.items.present("image").tolist() == [True, True, False, False]
    assert data.items.raw("attributes")[1] is None
    assert data.items.raw("attributes")[0] == {"price": 1.5, "tags": ["x", "y"]}
    assert data.items.raw("text", np.array([3, 0])) == ["a blue chair", "a red lamp"]


def test_users_without_a_row_stay_without_attributes():
    data = build(users=pl.DataFrame({"user": ["u", "v"], "age": [30, 40]}), positive={})
    assert data.users.ids.ids.to_list() == ["u", "v", "w"] and len(data.interactions) == 5
    assert data.users.raw("attributes")[1:] == [{"age": 40}, None]
    people = [(issue.code, issue.key, issue.count) for issue in data.issues if issue.code != "time_form"]
    assert people == [("user_without_row", "w", 1)]


def test_dropped_rows():
    with pytest.warns(UserWarning, match=r"1 of 5 interactions left out.*row 5, sku = 'zz'"):
        data = build(log=LOG | {"sku": ["a", "b", "a", "c", "zz"]})
    assert data.interactions.dropped.to_dicts() == [{"row": 5, "column": "sku", "value": "zz"}]


def test_positives_merge_repeats():
    log = {"user": ["u", "u", "u"], "sku": ["a", "a", "b"], "timestamp": [30, 10, 20], "rating": [5.0, 4.0, 1.0]}
    data = build(log=log, positive={"rating": ">=4"})
    assert data.positives.items.tolist() == [0] and data.positives.times.tolist() == [10]
    assert str(data.positive) == "rating >=4"


VECTORS = Features(np.ones((4, 2), np.float32), np.ones(4, bool))
CHANGES = {
    "a title": lambda: build(items=ITEMS | {"title": ["a red lamp!", None, "  ", "a blue chair"]}),
    "text moved": lambda: build(items=ITEMS | {"title": ["a red lamp", "a blue chair", None, "  "]}),
    "a price": lambda: build(items=ITEMS | {"price": [1.5, None, 3.0, 0.0]}),
    "a list": lambda: build(items=ITEMS | {"tags": [["x", "z"], None, [], ["z"]]}),
    "a path": lambda: build(items=ITEMS | {"photo": ["a.jpg", "c.jpg", None, ""]}),
    "an id": lambda: build(items=ITEMS | {"sku": ["a", "b", "c", "e"]}, log=LOG | {"sku": ["a", "b", "a", "c", "e"]}),
    "a kind": lambda: build(columns=KINDS | {"title": "attributes"}),
    "an event": lambda: build(log=LOG | {"sku": ["a", "b", "a", "c", "c"]}),
    "a time": lambda: build(log=LOG | {"timestamp": [10, 20, 10, 30, 6]}),
    "a rating": lambda: build(log=LOG | {"rating": [5.0, 3.0, 4.0, 1.0, 4.0]}),
    "a user": lambda: build(log=LOG | {"user": ["u", "u", "v", "v", "x"]}),
    "event order": lambda: build(log={key: values[::-1] for key, values in LOG.items()}),
    "the rule": lambda: build(positive={"rating": ">=4"}),
    "vectors": lambda: build(features={"audio": VECTORS}),
    "other vectors": lambda: build(features={"audio": replace(VECTORS, values=VECTORS.values * 2)}),
    "a mask": lambda: build(features={"audio": replace(VECTORS, present=np.array([1, 1, 1, 0], bool))}),
    "an edge": lambda: build(relations=Relations({"next": Edges(*np.array([[0], [1]]), np.ones(1, np.float32))})),
    "a name": lambda: build(
        relations=Relations({"of": Edges(*np.array([[0], [0]]), np.ones(1, np.float32), "x", ("n",))})
    ),
    "another name": lambda: build(
        relations=Relations({"of": Edges(*np.array([[0], [0]]), np.ones(1, np.float32), "x", ("m",))})
    ),
    "a user's age": lambda: build(users=pl.DataFrame({"user": ["u", "v", "w"], "age": [1, 2, 3]})),
    "another age": lambda: build(users=pl.DataFrame({"user": ["u", "v", "w"], "age": [1, 2, 4]})),
}


def test_hash_changes_with_anything():
    hashes = {"nothing": build().hash} | {name: make().hash for name, make in CHANGES.items()}
    assert build().hash == hashes["nothing"]
    twins = {(a, b) for a in hashes for b in hashes if a < b and hashes[a] == hashes[b]}
    assert not twins


def test_append():
    items = replace(build().items, given={"audio": VECTORS})
    grown = items.append(pl.DataFrame({"sku": ["e"], "title": ["a new desk"], "price": [7]}), "sku")
    assert len(grown) == 5 and grown.ids.rows(["e"]).tolist() == [4] and len(items) == 4
    assert grown.raw("text")[4] == "a new desk" and grown.raw("image")[4] is None
    assert grown.raw("attributes")[4] == {"price": 7.0}
    assert grown.given["audio"].present.tolist() == [True] * 4 + [False]
    assert grown.content_hash() != items.content_hash()


@pytest.mark.parametrize(
    ("frame", "message", "row"),
    [
        ({"sku": ["e", "a"]}, "exists already", 2),
        ({"sku": ["e", "e"]}, "appears twice", 2),
        ({"sku": ["e", None]}, "id is empty", 2),
        ({"sku": ["e"], "titel": ["x"]}, "did you mean title", None),
        ({"sku": ["e", "f"], "price": ["1", "cheap"]}, "is not Float64", 2),
    ],
)
def test_append_refuses(frame, message, row):
    with pytest.raises(DataError, match=message) as caught:
        build().items.append(pl.DataFrame(frame), "sku")
    assert caught.value.row == row


def test_append_text_ids_to_whole_numbers():
    items = Catalog.from_ids(pl.Series("id", [1, 2]))
    assert items.append(pl.DataFrame({"id": [3.0]}), "id").ids.ids.to_list() == [1, 2, 3]
    with pytest.raises(DataError, match="whole numbers"):
        items.append(pl.DataFrame({"id": ["x"]}), "id")


def test_wrong_shapes_are_refused():
    for rule, message in (({"ratng": ">=4"}, "did you mean rating"), ({"rating": 4}, "cannot read"), ([1], "mapping")):
        with pytest.raises(DataError, match=message):
            build(positive=rule)
    with pytest.raises(DataError, match="feature rows"):
        build(features={"audio": Features(np.ones((3, 2), np.float32), np.ones(3, bool))})
    with pytest.raises(DataError, match="pandas or polars"):
        Dataset.from_frames([1, 2], pl.DataFrame(LOG))
    with pytest.raises(DataError, match="did you mean"):
        build(columns={"sku": "id", "title": "txt"})
    with pytest.raises(DataError, match="no such column"):
        build(columns={"sku": "id", "titel": "text"})


def test_an_event_without_a_part_is_refused():
    log = {"user": [1, 2, 3], "item": [1, 2, 1], "part": [0, None, 2]}
    with pytest.raises(DataError, match="part is not 0, 1 or 2") as caught:
        Dataset.from_frames(pl.DataFrame({"id": [1, 2]}), pl.DataFrame(log))
    assert caught.value.row == 2


def test_users_are_read_as_items_are():
    users = pl.DataFrame(
        {
            "user": ["u", "v", "w"],
            "income": ["$1,299.00", "$5", None],
            "bio": ["<p>hi <b>you</b></p>", "A &amp; B, or not", "plain words"],
            "likes": ["['red', 'blue']", "['red']", "[]"],
            "size": ["{'w': 1}", "{'w': 2}", "{'w': 1}"],
            "zip": ["06511", "00501", "10001"],
            "age": [30, 41, 25],
        }
    )
    data = build(users=users)
    frame, kinds = data.users.frame, data.users.kinds
    assert frame["income"].to_list() == [1299.0, 5.0, None] and frame["age"].to_list() == [30, 41, 25]
    assert frame["bio"].to_list() == ["hi you", "A & B, or not", "plain words"]
    assert frame["likes"].to_list() == [["red", "blue"], ["red"], []] and frame["size.w"].to_list() == [1, 2, 1]
    assert frame["zip"].to_list() == ["06511", "00501", "10001"]
    assert dict(kinds) == dict.fromkeys(("income", "bio", "likes", "size.w", "zip", "age"), "attributes")
    codes = {(issue.code, issue.column) for issue in data.issues}
    assert {("number_in_text", "income"), ("html_removed", "bio"), ("list_in_text", "likes")} <= codes
    assert any(note.startswith("users: income: ") for note in data.notes)
    assert not any("items:" in (issue.hint or "") for issue in data.issues if issue.column in users.columns)


def test_a_table_of_users_that_nobody_of_the_log_is_in_is_a_warning():
    data = build(users=pl.DataFrame({"user": ["x", "y"], "age": [1, 2]}))
    (issue,) = [issue for issue in data.issues if issue.code == "user_without_row"]
    assert issue.severity == "warning" and "none of" in issue.message


@pytest.mark.parametrize("value", ["ACME", 3, 2.5, ["a", "b"], True])
def test_an_empty_column_takes_the_type_of_what_is_added(value):
    items = Dataset.from_frames(
        pl.DataFrame({"id": ["a", "b"], "maker": [None, None]}), pl.DataFrame({"user": ["u"], "item": ["a"]})
    ).items
    assert items.frame["maker"].dtype == pl.Null
    grown = items.append(pl.DataFrame({"id": ["c"], "maker": [value]}), "id")
    assert grown.frame["maker"].to_list() == [None, None, value]
