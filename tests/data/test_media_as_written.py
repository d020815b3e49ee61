"""Paths of media as shops write them, columns that look like media, tables of users and relations of other names."""

import json
import warnings

import pytest

from palate.core.errors import DataError
from palate.data.check import check
from palate.data.load import load
from palate.data.media import MediaRoot

LOG = "user_id,item_id\n" + "".join(f"u{row % 5},i{row % 6}\n" for row in range(30))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def shop(path, values, column="image", **files):
    (path / "pics").mkdir()
    for row in range(6):
        (path / "pics" / f"a {row}.jpg").write_bytes(bytes([row]))
    rows = "".join(f"i{row},a fine lamp {row},{value}\n" for row, value in enumerate(values))
    (path / "items.csv").write_text(f"item_id,title,{column}\n{rows}")
    (path / "interactions.csv").write_text(LOG)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def found(data):
    return {(issue.code, issue.column): issue for issue in data.issues}


@pytest.mark.parametrize("form", [
    "/pics/a {}.jpg", "pics/a%20{}.jpg", "pics/a {}.jpg?v=12", "/pics/a%20{}.jpg?size=l#x", "\\pics\\a {}.jpg",
])  # fmt: skip
def test_paths_of_addresses_are_read_where_the_file_is(tmp_path, form):
    report = check(shop(tmp_path, [form.format(row) for row in range(6)]))
    assert report.ok and not report.find("media_missing") and report.modalities["image"] == 6


@pytest.mark.parametrize("value", ["/../x.jpg", "%2e%2e/x.jpg", "..%2fx.jpg", "/etc/passwd", "//../x.jpg"])
def test_no_spelling_leaves_the_folder(tmp_path, value):
    (tmp_path / "x.jpg").write_bytes(b"x")
    (tmp_path / "shop").mkdir()
    try:
        path = MediaRoot(tmp_path / "shop")(value)
    except DataError as error:
        assert "leaves the data folder" in error.message
    else:
        assert not path.exists()


def test_a_nul_in_an_escape_is_no_file(tmp_path):
    assert not MediaRoot(tmp_path)("a%00.jpg").exists()


@pytest.mark.parametrize("form", ["a {}.jpg", "PICS/A {}.JPG", "C:\\shop\\pics\\a {}.jpg"])
def test_where_a_missing_file_lies_is_said(tmp_path, form):
    (issue,) = check(shop(tmp_path, [form.format(row) for row in range(6)])).find("media_missing")
    assert issue.count == 6 and "pics/a 0.jpg is there" in issue.hint


def test_a_column_of_pictures_without_endings_is_warned_of(tmp_path):
    data = load(shop(tmp_path, [f"pics/{row}" for row in range(6)]))
    assert found(data)["media_named", "image"].severity == "warning"
    (tmp_path / "other").mkdir()
    bindings = load(shop(tmp_path / "other", ["hardcover", "paperback"] * 3, column="cover"))
    assert ("media_named", "cover") not in found(bindings)


def test_addresses_inside_other_fields_are_no_content(tmp_path):
    rows = [
        {
            "item_id": f"i{row}",
            "images": [{"large": f"https://x/{row}.jpg", "kind": "MAIN"}],
            "urls": [f"https://x/{row}"],
        }
        for row in range(6)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "interactions.csv").write_text(LOG)
    data = load(tmp_path)
    assert set(data.items.kinds) == {"images.kind"}
    assert {("column_unused", "images.large"), ("column_unused", "urls")} <= set(found(data))


def test_dates_and_addresses_of_users_are_not_attributes(tmp_path):
    users = "user_id,age,born,site\n" + "".join(
        f"u{row},{20 + row},1990-0{row + 1}-01,https://x/{row}\n" for row in range(5)
    )
    data = load(shop(tmp_path, ["x"] * 6, column="shelf", users=users))
    assert set(data.users.kinds) == {"age"}
    assert {("column_unused", "born"), ("column_unused", "site")} <= set(found(data))


@pytest.mark.parametrize("names", ["head,relation,tail", "subject,predicate,object", "src,relation,dst"])
def test_usual_names_of_the_ends_of_relations(tmp_path, names):
    data = load(shop(tmp_path, ["x"] * 6, column="shelf", relations=f"{names}\ni1,like,i2\ni3,like,i4\n"))
    assert [len(edges) for edges in data.relations.edges.values()] == [2]


def test_other_names_of_relations_have_a_way_out(tmp_path):
    with pytest.raises(DataError, match="lack a column") as caught:
        load(shop(tmp_path, ["x"] * 6, column="shelf", relations="item_a,item_b\ni1,i2\n"))
    assert "relations: {source: COLUMN}" in caught.value.hint
