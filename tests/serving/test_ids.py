"""Ids through the API: one spelling for each new one, and odd ones of a run can be reached and erased."""

import unicodedata
from urllib.parse import quote

import polars as pl
import pytest

pytest.importorskip("fastapi")

from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

import palate
from palate.core.errors import DataError
from palate.serving.api.app import Settings, create_app
from palate.serving.api.ids import clean_id, id_address, known_id

ODD = ["bad\nid", "end\n", ".", "..", "e\u0301", " led ", "a/b?c#d", "tab\there", "50%"]
"""Ids that a table may hold."""
REFUSED = [
    "bad\nid",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "\x1b[2J",
    ".",
    "..",
    " .. ",
    "  ",
    "\u3000",
    "",
    "x" * 201,
]


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    items = pl.DataFrame({"item_id": [*ODD, *(f"i{n}" for n in range(12))], "title": ["lamp"] * (len(ODD) + 12)})
    users = [*ODD, *(f"u{n}" for n in range(12))]
    pairs = [(user, items["item_id"][(at + step) % len(items)]) for at, user in enumerate(users) for step in range(5)]
    log = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    data = palate.Dataset.from_frames(items, log)
    return palate.models.ItemKNN().fit(data).save(tmp_path_factory.mktemp("odd") / "run")


@pytest.fixture
def client(odd_run, tmp_path):
    import shutil

    shutil.copytree(odd_run, tmp_path / "run")
    app = create_app(Settings(str(tmp_path / "run"), str(tmp_path / "state"), rate=0))
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as made:
        yield made


@pytest.mark.parametrize("value", REFUSED)
def test_ids_that_cannot_be_told_apart_or_reached_are_refused(value):
    with pytest.raises(DataError):
        clean_id("user", value)


@given(st.text(max_size=220))
def test_a_clean_id_has_one_spelling_and_no_control_characters(value):
    try:
        cleaned = clean_id("user", value)
    except DataError:
        return
    assert cleaned == cleaned.strip() == unicodedata.normalize("NFC", cleaned) == clean_id("user", cleaned)
    assert clean_id("user", unicodedata.normalize("NFD", value)) == cleaned == clean_id("user", f" {value}\n")
    assert 0 < len(cleaned) <= 200 and cleaned not in (".", "..")
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in cleaned)
    assert known_id("user", value, {value}) == value


@pytest.mark.parametrize("value", [value for value in REFUSED if "\x00" not in value])
@pytest.mark.parametrize("field", ["user", "event_id"])
def test_new_ids_are_refused_in_events(client, value, field):
    if field == "user" and value in ODD:
        pytest.skip("this run has such a user")
    event = {"user": "ada", "item": "i1", field: value}
    assert client.post("/v1/events", json={"events": [event]}).status_code == 422
    assert client.app.state.service.events.count() == 0


def test_new_ids_are_refused_in_items_and_one_spelling_is_kept(client):
    for value in REFUSED:
        if value not in ODD:
            assert client.post("/v1/items", json={"items": [{"id": value}]}).status_code == 422
    sent = {"items": [{"id": " cafe\u0301 ", "fields": {"title": "x"}}]}
    assert client.post("/v1/items", json=sent).json()["items"] == [{"id": "caf\u00e9", "status": "added"}]
    assert client.post("/v1/items", json=sent).json()["items"] == [{"id": "caf\u00e9", "status": "updated"}]
    for spelt in ("cafe\u0301", "caf\u00e9"):
        assert client.get("/v1/items/" + quote(spelt)).json()["id"] == "caf\u00e9"
    for spelt in ("zoe\u0308", "zo\u00eb", " zo\u00eb "):
        client.post("/v1/events", json={"events": [{"user": spelt, "item": "i1"}]})
    assert client.delete("/v1/users/" + quote("zoe\u0308")).json()["events"] == 3


@pytest.mark.parametrize("item", ODD)
def test_odd_items_of_a_run_can_be_read_liked_shown_and_removed(client, item):
    # tables are read with outer spaces trimmed and in NFC
    item = unicodedata.normalize("NFC", item).strip()
    assert client.get("/v1/items", params={"id": item}).json()["id"] == item
    assert client.post("/v1/similar", json={"item": item, "k": 3}).status_code == 200
    assert client.post("/v1/recommend", json={"history": [item], "k": 3}).status_code == 200
    assert client.post("/v1/events", json={"events": [{"user": "ada", "item": item}]}).status_code == 201
    assert client.get(id_address("/item", item)).status_code == 200
    assert client.get(id_address("/image", item)).status_code == 200
    if item not in (".", ".."):
        assert client.get("/v1/items/" + quote(item, safe="")).json()["id"] == item
        assert client.delete("/v1/items/" + quote(item, safe="")).status_code == 204
    else:
        assert client.delete("/v1/items", params={"id": item}).status_code == 204
    assert client.get("/v1/items", params={"id": item}).status_code == 404


@pytest.mark.parametrize("way", ["path", "query", "body"])
@pytest.mark.parametrize("user", ODD)
def test_odd_users_of_a_run_get_their_list_and_can_be_erased(client, user, way):
    if way == "path" and user in (".", ".."):
        pytest.skip("a client takes it out of the path")
    asked = {"user": user, "k": 3}
    assert client.post("/v1/recommend", json=asked).json()["source"] == "match"
    assert client.post("/v1/events", json={"events": [{"user": user, "item": "i11"}]}).status_code == 201
    erased = {
        "path": lambda: client.delete("/v1/users/" + quote(user, safe="")),
        "query": lambda: client.delete("/v1/users", params={"id": user}),
        "body": lambda: client.post("/v1/users/erase", json={"user": user}),
    }[way]()
    assert erased.status_code == 200 and erased.json() == {"events": 1, "known": True, "run_files_erased": True}
    assert user not in client.app.state.service.events.recent_users()
    answered = client.post("/v1/recommend", json=asked)
    assert answered.status_code == 422 or answered.json()["source"] == "popular"
