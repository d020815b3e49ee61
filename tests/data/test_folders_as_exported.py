"""Folders as shops and public data sets have them: several files a table, one table, JSON arrays, exports of shops."""

import json
import warnings

import pytest
import yaml

from palate.core.errors import DataError
from palate.data.load import load
from palate.data.proposal import propose_settings

ITEMS = "item_id,title\n" + "".join(f"i{row},a fine lamp {row}\n" for row in range(9))
ORDERS = "customer,sku,product_name,price,paid\n" + "".join(
    f"c{row % 5},S{row % 9},Lamp {row % 9},{row % 9}.5,{row}\n" for row in range(45)
)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def folder(path, **files):
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def log(rows=range(30)):
    return "user_id,item_id\n" + "".join(f"u{row % 5},i{row % 9}\n" for row in rows)


def found(data):
    return {issue.code: issue for issue in data.issues}


def test_a_log_in_several_files_is_read_whole(tmp_path):
    parts = {f"events_2021_{month:02d}__csv": log(range(10 * month, 10 * month + 10)) for month in (1, 2, 3)}
    data = load(folder(tmp_path, products__csv=ITEMS, **parts))
    assert len(data.interactions) == 30 and any("events_2021_02.csv" in note for note in data.notes)
    text = propose_settings(tmp_path)
    assert yaml.safe_load(text)["interactions"]["file"] == [f"events_2021_{month:02d}.csv" for month in (1, 2, 3)]
    (tmp_path / "palate.yaml").write_text(text)
    assert load(tmp_path).interactions.frame.equals(data.interactions.frame)


def test_logs_of_other_columns_are_not_put_together(tmp_path):
    other = "user_id,item_id,stars\nu0,i0,5\n"
    with pytest.raises(DataError, match="no known layout"):
        load(folder(tmp_path, products__csv=ITEMS, a__csv=log(), b__csv=other))
    text = propose_settings(tmp_path)
    assert yaml.safe_load(text)["items"]["file"] == "products.csv"


def test_one_table_of_events_names_its_items(tmp_path):
    data = load(folder(tmp_path, orders__csv=ORDERS))
    assert (data.n_items, data.n_users, len(data.interactions)) == (9, 5, 45)
    assert data.items.kinds == {"product_name": "text", "price": "attributes"}
    rows = dict(zip(data.items.ids.ids, data.items.frame["price"]))
    assert rows == {f"S{row}": row + 0.5 for row in range(9)}
    assert any("those of the interactions" in note and "product_name, price" in note for note in data.notes)
    (tmp_path / "palate.yaml").write_text(propose_settings(tmp_path))
    again = load(tmp_path)
    assert again.items.frame.equals(data.items.frame) and again.items.kinds == data.items.kinds


def test_items_once_each_have_no_columns_of_the_events(tmp_path):
    rows = "".join(f"c{row % 5},S{row},{row}.5\n" for row in range(20))
    data = load(folder(tmp_path, orders__csv="customer,sku,total\n" + rows))
    assert data.n_items == 20 and not data.items.kinds


def test_a_spreadsheet_beside_a_log_is_not_passed_over(tmp_path):
    (tmp_path / "items.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="no known layout"):
        load(folder(tmp_path, interactions__csv=log()))


ROWS = [{"item_id": f"i{row}", "title": f"a fine lamp {row}"} for row in range(9)]
EVENTS = [{"user_id": f"u{row % 5}", "item_id": f"i{row % 9}"} for row in range(30)]


@pytest.mark.parametrize("write", [
    lambda rows: json.dumps(rows),
    lambda rows: json.dumps(rows, indent=2),
    lambda rows: "\ufeff" + json.dumps(rows),
    lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    lambda rows: json.dumps({"total": 9, "rows": rows}),
])  # fmt: skip
@pytest.mark.parametrize("names", [("items", "interactions"), ("products", "clicks")])
def test_json_of_any_form(tmp_path, write, names):
    for name, rows in zip(names, (ROWS, EVENTS)):
        (tmp_path / f"{name}.json").write_text(write(rows), encoding="utf-8")
    data = load(tmp_path)
    assert data.n_items == 9 and len(data.interactions) == 30 and data.items.kinds == {"title": "text"}


def test_an_array_in_a_file_of_lines_is_read_and_odd_rows_are_named(tmp_path):
    (tmp_path / "items.jsonl").write_text(json.dumps(ROWS))
    assert load(folder(tmp_path, interactions__csv=log())).n_items == 9
    (tmp_path / "items.jsonl").write_text(json.dumps([ROWS[0], 5]))
    with pytest.raises(DataError, match="not an object") as caught:
        load(tmp_path)
    assert caught.value.row == 2
    (tmp_path / "items.jsonl").write_text("[" + json.dumps(ROWS[0]))
    with pytest.raises(DataError, match="not JSON"):
        load(tmp_path)


def test_tables_of_text_have_any_ending(tmp_path):
    data = load(folder(tmp_path, products__txt=ITEMS.replace(",", "\t"), clicks__dat=log().replace(",", "|")))
    assert data.n_items == 9 and len(data.interactions) == 30


def test_an_export_of_shopify(tmp_path):
    products = "Handle,Title,Variant SKU,Variant Price,Image Src\n" + "".join(
        f"lamp-{row},Lamp {row},SKU-{row:03d},{row}.99,https://x.example/{row}.jpg\n" for row in range(9)
    )
    orders = "Name,Email,Created at,Lineitem quantity,Lineitem sku\n" + "".join(
        f"#{row},c{row % 5}@x.example,2021-03-01 10:00:{row:02d} +0100,1,SKU-{row % 9:03d}\n" for row in range(30)
    )
    data = load(folder(tmp_path, products_export__csv=products, orders_export__csv=orders))
    assert data.items.ids.ids[1] == "SKU-001" and data.n_users == 5 and len(data.interactions) == 30
    assert data.interactions.array("time")[0] == 1614589200


def test_an_export_of_analytics(tmp_path):
    events = "event_timestamp,event_name,user_pseudo_id,item_id\n" + "".join(
        f"{1614556800000000 + row * 10**6},purchase,{row % 5}.77,i{row % 9}\n" for row in range(30)
    )
    data = load(folder(tmp_path, products__csv=ITEMS, events__csv=events))
    assert data.n_users == 5 and data.interactions.array("time")[:2].tolist() == [1614556800, 1614556801]


def test_an_empty_column_of_users_gives_way_to_sessions(tmp_path):
    views = "session_id;user_id;item_id;eventdate\n" + "".join(
        f"s{row % 5};NA;i{row % 9};2016-05-09\n" for row in range(30)
    )
    data = load(folder(tmp_path, items__csv=ITEMS, views__csv=views))
    assert data.n_users == 5 and any("user is 'session_id'" in note for note in data.notes)


@pytest.mark.parametrize("columns, unknown", [("user_id,history", ["item"]), ("who,what", ["user", "item"])])
def test_a_proposal_is_written_also_where_columns_are_not_told(tmp_path, columns, unknown):
    text = propose_settings(folder(tmp_path, items__csv=ITEMS, interactions__csv=f"{columns}\nu1,x\nu2,y\n"))
    section = yaml.safe_load(text)["interactions"]
    assert [role for role, column in section.items() if column == "COLUMN"] == unknown
    (tmp_path / "palate.yaml").write_text(text)
    with pytest.raises(DataError, match="no such column") as caught:
        load(tmp_path)
    assert caught.value.column == "COLUMN"


def test_a_proposal_for_items_without_ids(tmp_path):
    text = propose_settings(folder(tmp_path, items__csv="colour,shape\nred,round\n", interactions__csv=log()))
    assert yaml.safe_load(text)["items"]["id"] == "COLUMN"


def test_the_likely_tables_are_proposed(tmp_path):
    orders = "order_id,user_id,order_number,hour\n" + "".join(
        f"{row},u{row % 5},{row % 9 + 1},{row % 24}\n" for row in range(30)
    )
    aisles, lines = (
        "aisle_id,aisle\n1,a\n2,b\n",
        "order_id,product_id\n" + "".join(f"{row},{row % 9 + 1}\n" for row in range(30)),
    )
    products = "product_id,product_name,aisle_id\n" + "".join(f"{row + 1},Lamp {row},1\n" for row in range(9))
    folder(tmp_path, aisles__csv=aisles, orders__csv=orders, order_products__csv=lines, products__csv=products)
    settings = yaml.safe_load(propose_settings(tmp_path))
    assert settings["items"]["file"] == "products.csv" and settings["interactions"]["file"] == "orders.csv"
    (tmp_path / "palate.yaml").write_text(propose_settings(tmp_path))
    with pytest.raises(DataError, match="which column is the item"):
        load(tmp_path)


@pytest.mark.parametrize("name, word", [("data.zip", "unpack"), ("log.dat", "header: none"), ("shop.xlsx", "export")])
def test_a_folder_without_tables_says_what_is_there(tmp_path, name, word):
    (tmp_path / name).write_bytes(b"1,2\n3,4\n")
    for ask in (load, propose_settings):
        with pytest.raises(DataError, match="no table") as caught:
            ask(tmp_path)
        assert name in caught.value.hint and word in caught.value.hint


@pytest.mark.parametrize("role", ["user", "item", "time"])
def test_a_column_of_the_settings_that_is_not_there_is_named(tmp_path, role):
    (tmp_path / "palate.yaml").write_text(f"interactions: {{{role}: nowhere}}\n")
    with pytest.raises(DataError, match="no such column") as caught:
        load(folder(tmp_path, items__csv=ITEMS, interactions__csv=log(), users__csv="user_id,age\nu1,3\nu2,4\n"))
    assert caught.value.column == "nowhere"


def test_every_file_that_is_passed_over_is_named(tmp_path):
    (tmp_path / "clicks.csv.part2").write_text(log())
    (tmp_path / "photo.jpg").write_bytes(b"x")
    (tmp_path / "README.md").write_text("x")
    data = load(folder(tmp_path, items__csv=ITEMS, interactions__csv=log()))
    assert "clicks.csv.part2" in found(data)["file_not_read"].message and found(data)["file_not_read"].count == 1
