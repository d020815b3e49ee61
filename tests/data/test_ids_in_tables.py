"""Ids keep the spelling of their file, in every table and on every way in and out."""

import json
import uuid
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.check import check
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.data.load import load, write


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def shop(root, items, log, yaml=None, **tables):
    """A folder of text tables; ``items`` and ``log`` are lists of ids and of (user, item)."""
    root.mkdir(exist_ok=True)
    (root / "items.csv").write_text("item_id,title\n" + "".join(f"{i},a red lamp {n}\n" for n, i in enumerate(items)))
    (root / "interactions.csv").write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in log))
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    if yaml is not None:
        (root / "palate.yaml").write_text(yaml)
    return root


def events(data):
    frame = data.interactions.frame
    users, items = (one.ids.ids.to_list() for one in (data.users, data.items))
    return [(users[u], items[i]) for u, i in zip(frame["user"], frame["item"])]


def test_leading_zeros_stay(tmp_path):
    data = load(shop(tmp_path / "a", ["0108775015", "0108775044"], [("01", "0108775044"), ("1", "0108775015")]))
    assert data.items.ids.ids.to_list() == ["0108775015", "0108775044"]
    assert events(data) == [("01", "0108775044"), ("1", "0108775015")]


def test_an_event_of_007_is_not_one_of_7(tmp_path):
    data = load(shop(tmp_path / "a", ["007", "7", "A1", "010"], [("u0", "007"), ("u0", "010"), ("u1", "7")]))
    assert events(data) == [("u0", "007"), ("u0", "010"), ("u1", "7")]


def test_exponents_and_signs_stay(tmp_path):
    users = ["1e3", "1000", "10e2", "+1000", "-0", "0", "1000.0", "1_000"]
    data = load(shop(tmp_path / "a", ["12e4", "34e2"], [(user, "12e4") for user in users]))
    assert data.items.ids.ids.to_list() == ["12e4", "34e2"]
    assert data.users.ids.ids.to_list() == users


def test_large_ids_beside_a_gap(tmp_path):
    log = [("u", 9007199254740993), ("v", 9007199254740992), ("w", "")]
    data = load(shop(tmp_path / "a", [9007199254740992, 9007199254740993], log))
    assert events(data) == [("u", 9007199254740993), ("v", 9007199254740992)]
    assert [(issue.code, issue.rows) for issue in data.issues] == [("id_missing", (3,))]
    assert "row 3" in " ".join(data.notes)


def test_floats_that_lost_digits_are_refused():
    items = pl.DataFrame({"id": [2**53, 2**53 + 1]})
    log = pl.DataFrame({"user": ["u", "v"], "item": [float(2**53), None]})
    with pytest.raises(DataError, match="lost digits") as caught:
        Dataset.from_frames(items, log)
    assert caught.value.row == 1


@pytest.mark.parametrize(("items", "log", "ids"), [
    (["5863", "12"], ["5863.0", "12.0"], [5863, 12]),
    (["5863.0", "12.0"], ["5863", "12"], [5863, 12]),
    (["5863.0", "12.0"], ["5863.0", "12.0"], ["5863.0", "12.0"]),
    (["5863", "012"], ["5863", "012"], ["5863", "012"]),
    (["1.10", "1.1"], ["1.10", "1.1"], ["1.10", "1.1"]),
])  # fmt: skip
def test_whole_numbers_with_a_fraction_of_zero(tmp_path, items, log, ids):
    data = load(shop(tmp_path / "a", items, [("u", one) for one in log]))
    assert data.items.ids.ids.to_list() == ids and [item for _, item in events(data)] == ids
    assert any("12.0 are read as 12" in note for note in data.notes) == (ids == [5863, 12])


def test_palate_yaml_decides(tmp_path):
    items, log = ["7", "8"], [("01", "7"), ("2", "8")]
    assert load(shop(tmp_path / "a", items, log)).items.ids.ids.to_list() == [7, 8]
    data = load(shop(tmp_path / "a", items, log, "ids: text\n"))
    assert data.items.ids.ids.to_list() == items and data.users.ids.ids.to_list() == ["01", "2"]
    data = load(shop(tmp_path / "a", items, log, "ids: {item: text, user: integer}\n"))
    assert data.items.ids.ids.to_list() == items and data.users.ids.ids.to_list() == [1, 2]
    assert load(tmp_path / "a", ids="text").users.ids.ids.to_list() == ["01", "2"]
    with pytest.raises(DataError, match="write text or integer"):
        load(shop(tmp_path / "a", items, log, "ids: number\n"))
    with pytest.raises(DataError, match="not a whole number") as caught:
        load(shop(tmp_path / "a", items, [("x", "7")], "ids: integer\n"))
    assert caught.value.row == 1 and caught.value.file.endswith("interactions.csv")


def test_one_table_with_zeros_makes_all_text(tmp_path):
    users = "user_id,age\n1,20\n02,30\n"
    data = load(shop(tmp_path / "a", [7], [("1", 7)], users=users))
    assert data.users.ids.ids.to_list() == ["1", "02"] and data.items.ids.ids.to_list() == [7]


def test_spaces_and_compositions_are_one_id(tmp_path):
    log = [("ann", "caf\u00e9"), ("ann ", "cafe\u0301"), ("bob", "x")]
    data = load(shop(tmp_path / "a", ["cafe\u0301", "x"], log))
    assert events(data) == [("ann", "caf\u00e9"), ("ann", "caf\u00e9"), ("bob", "x")]
    assert any("1 user ids without the spaces" in note for note in data.notes)
    assert data.items.ids.rows([" cafe\u0301 "]).tolist() == [0]


def test_ids_are_matched_by_their_spelling():
    whole, text = IdMap(pl.Series([7, 8])), IdMap(pl.Series(["7", "007"]))
    assert whole.rows(["7", 7, 7.0, np.int64(8)]).tolist() == [0, 0, 0, 1]
    assert whole.rows(["007", "+7", "7.0", "7e0", True, None, 7.5], "mark").tolist() == [-1] * 7
    assert text.rows(["7", 7, "007"]).tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="'007'"):
        whole.rows(["007"])


def test_uuids_of_pandas_are_text():
    pandas = pytest.importorskip("pandas")
    keys = [uuid.UUID(int=n) for n in (1, 2)]
    data = Dataset.from_frames(
        pandas.DataFrame({"item_id": keys}), pandas.DataFrame({"user_id": ["u", "v"], "item_id": keys})
    )
    assert data.items.ids.ids.to_list() == list(map(str, keys)) and data.items.ids.rows(keys).tolist() == [0, 1]


def test_an_item_without_id_is_refused_with_its_word(tmp_path):
    with pytest.raises(DataError, match=r"id is empty.*NULL means no value") as caught:
        load(shop(tmp_path / "a", ["x", "NULL"], [("u", "x")]))
    assert caught.value.row == 2
    assert load(shop(tmp_path / "a", ["x", "NULL"], [("u", "x")], "absent: []\n")).n_items == 2


def test_empty_ids_of_json_are_absent(tmp_path):
    root = shop(tmp_path / "a", ["b", "c"], [("u", "b")])
    (root / "interactions.csv").unlink()
    log = [{"user_id": "", "item_id": "b"}, {"user_id": "u", "item_id": " "}, {"user_id": "u", "item_id": "b"}]
    (root / "interactions.jsonl").write_text("\n".join(map(json.dumps, log)))
    data = load(root)
    assert events(data) == [("u", "b")] and check(root).find("id_missing")[0].rows == (1, 2)


def test_users_that_only_the_log_knows_stay(tmp_path):
    data = load(shop(tmp_path / "a", ["x"], [("u0", "x"), ("u1", "x")], users="user_id,age\nu0,20\n"))
    assert data.users.ids.ids.to_list() == ["u0", "u1"] and len(data.interactions) == 2
    assert data.users.raw("attributes") == [{"age": 20}, None]
    assert check(tmp_path / "a").find("user_without_row")[0].count == 1


def test_relations_with_unknown_ends(tmp_path):
    relations = "source,relation,target\na,also,b\nb,also,c\nc,also,zzz\nyyy,also,a\n"
    data = load(shop(tmp_path / "a", ["a", "b", "c"], [("u", "a")], relations=relations))
    edges = data.relations.edges["also"]
    assert edges.target_kind == "item" and edges.source.tolist() == [0, 1] and edges.target.tolist() == [1, 2]
    issue = check(tmp_path / "a").find("edge_unknown")[0]
    assert issue.count == 2 and issue.rows == (3, 4) and issue.key == "zzz"


def test_relations_to_entities_and_with_zeros(tmp_path):
    relations = "source,relation,target\n007,genre,drama\n008,also,007\n"
    data = load(shop(tmp_path / "a", ["007", "A1", "008"], [("u", "A1")], relations=relations))
    assert data.relations.edges["genre"].target_names == ("drama",)
    assert data.relations.edges["also"].source.tolist() == [2] and data.relations.edges["also"].target.tolist() == [0]


# spellings that a reader could take for another id
NUMBERS = st.integers(-(2**63), 2**64)
SPELLINGS = st.one_of(
    NUMBERS.map(str),
    NUMBERS.map(lambda n: f"0{n}"),
    st.integers(0, 99).map(lambda n: f"+{n}"),
    st.tuples(st.integers(0, 99), st.integers(0, 9)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
    st.integers(0, 99).map(lambda n: f"{n}.0"),
    st.integers(0, 99).map(lambda n: f"{n}.50"),
    st.sampled_from(
        ["-0", "0", "00", "1_0", "0x1f", "inf", "Infinity", "true", "True", "1e400", "é", "日本", "a b", "7-8"]
    ),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "Pd")), min_size=1, max_size=6),
)


def canonical(value):
    import unicodedata

    return unicodedata.normalize("NFC", value).strip()


IDS = st.lists(SPELLINGS.map(canonical).filter(bool), min_size=2, max_size=6, unique=True)


def write_frames(root, form, frames):
    for name, frame in frames.items():
        for ending in ("csv", "jsonl", "parquet"):
            (root / f"{name}.{ending}").unlink(missing_ok=True)
        if form == "csv":
            frame.write_csv(root / f"{name}.csv")
        elif form == "jsonl":
            frame.write_ndjson(root / f"{name}.jsonl")
        else:
            frame.write_parquet(root / f"{name}.parquet")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS, users=IDS, form=st.sampled_from(["csv", "jsonl", "parquet"]), order=st.randoms(use_true_random=False))
def test_what_goes_in_comes_out(tmp_path, ids, users, form, order):
    from palate.data.absent import ABSENT

    ids, users = ([one for one in names if one not in ABSENT] for names in (ids, users))
    if len(ids) < 2 or not users:
        return
    pairs = [(user, item) for user in users for item in ids]
    order.shuffle(pairs)
    frames = {
        "items": pl.DataFrame({"item_id": ids, "title": [f"a red lamp {n}" for n in range(len(ids))]}),
        "interactions": pl.DataFrame({"user_id": [u for u, _ in pairs], "item_id": [i for _, i in pairs]}),
    }
    write_frames(tmp_path, form, frames)
    data = load(tmp_path)
    decimals = all(one.endswith(".0") for one in ids)
    assert decimals or [str(one) for one in data.items.ids.ids.to_list()] == ids
    assert sorted(map(str, data.users.ids.ids.to_list())) == sorted(users)
    assert [(str(u), str(i)) for u, i in events(data)] == pairs
    assert data.items.ids.rows(ids).tolist() == list(range(len(ids)))
    again = load(write(data, tmp_path / "again"))
    assert again.items.ids.ids.equals(data.items.ids.ids) and events(again) == events(data)
    import shutil

    shutil.rmtree(tmp_path / "again")


@settings(max_examples=40, deadline=None)
@given(numbers=st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=2, max_size=5, unique=True),
       kinds=st.tuples(*[st.sampled_from(["int", "float", "text", "small"])] * 2))  # fmt: skip
def test_whole_numbers_of_any_type_are_the_same_ids(numbers, kinds):
    def typed(values, kind):
        if kind == "float":
            return pl.Series([*map(float, values)])
        return pl.Series([*map(str, values)]) if kind == "text" else pl.Series(values)

    items = pl.DataFrame({"item_id": typed(numbers, kinds[0])})
    log = pl.DataFrame({"user_id": ["u"] * len(numbers), "item_id": typed(numbers, kinds[1])})
    data = Dataset.from_frames(items, log)
    assert [str(i) for _, i in events(data)] == list(map(str, numbers))
    assert data.items.ids.ids.dtype == (pl.String if "text" in kinds else pl.Int64)


@pytest.mark.parametrize("pad", ["\u200b", "\ufeff", "\u00a0", "\u2060", "\u200e", "\u202a"])
def test_what_shows_nothing_around_an_id_is_no_part_of_it(tmp_path, pad):
    (tmp_path / "items.csv").write_text(f"{pad}item_id,title\ni1,a lamp\n{pad}i2,b lamp\n")
    (tmp_path / "interactions.csv").write_text(f"user_id,item_id\nu,{pad}i1\nu,i2{pad}\nv{pad},i1\nv,i2\n")
    data = load(tmp_path)
    assert data.items.ids.ids.to_list() == ["i1", "i2"] and data.items.id_column == "item_id"
    assert len(data.interactions) == 4 and data.n_users == 2
    assert data.items.ids.rows([f"i2{pad}"]).tolist() == [1]


def test_joiners_inside_an_id_stay():
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    assert IdMap([family, "x"]).ids.to_list() == [family, "x"]


@pytest.mark.parametrize("ids, log, hint", [
    (["I1", "I2"], "i1", "differ in case"),
    (["i1", "i2"], "item_1", "ids of the items are 'i1', 'i2'"),
    (["4006381333931", "4006381333948"], "4.00638E+12", "shortened"),
    (["i1", "i2"], "i1|i2", "one row for each"),
    (["i1", "i2"], "i1 i2", "one row for each"),
])  # fmt: skip
def test_ids_that_match_nothing_say_why(tmp_path, ids, log, hint):
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"{one},lamp {one}\n" for one in ids))
    (tmp_path / "interactions.csv").write_text(f"user_id,item_id\nu,{log}\nv,{log}\n")
    with pytest.raises(DataError, match="no interaction matches") as caught:
        load(tmp_path)
    assert hint in caught.value.hint


def test_shortened_ids_that_repeat_say_why(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n4.00638E+12,a\n4.00638E+12,b\nx,c\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,x\n")
    with pytest.raises(DataError, match="twice") as caught:
        load(tmp_path)
    assert "export the column as text" in caught.value.hint
