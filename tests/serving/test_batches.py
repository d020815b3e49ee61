"""Batches are stored whole or not at all, and every row that is wrong is named at once."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from palate.core.errors import DataError
from palate.serving.api.app import Settings, create_app
from palate.serving.batches import MAX_FAULTS, BatchError, each, raise_faults
from palate.serving.events import DuplicateKeyError, Event
from palate.serving.service import UnknownItem


@pytest.fixture
def client(runs, tmp_path):
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "state"), rate=0, page=False))
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def rows(answer, status=422):
    assert answer.status_code == status, answer.text
    return [(error["location"], error["message"]) for error in answer.json()["errors"]]


@given(st.lists(st.booleans(), max_size=60))
def test_what_is_wrong_is_told_by_row(wrong):
    def make(row):
        if row:
            raise DataError("odd", key=row)
        return "good"

    made, faults = each(wrong, make)
    assert [one is None for one in made] == wrong
    assert sorted(faults) == [at + 1 for at, row in enumerate(wrong) if row]
    if not any(wrong):
        return raise_faults(faults, len(wrong))
    with pytest.raises(DataError) as refused:
        raise_faults(faults, len(wrong))
    if sum(wrong) == 1:
        assert refused.value.row == wrong.index(True) + 1 and type(refused.value) is DataError
        assert f"row {wrong.index(True) + 1}" in str(refused.value)
    else:
        assert isinstance(refused.value, BatchError)
        assert list(refused.value.faults) == sorted(faults)[:MAX_FAULTS]
        assert f"{sum(wrong)} of {len(wrong)} rows" in str(refused.value)
    return None


def test_every_wrong_item_is_named_and_none_is_stored(client):
    good = {"id": "good", "fields": {"title": "Good lamp"}}
    items = [
        good,
        {"id": "..", "fields": {}},
        {"id": "a", "fields": {"colour": "red"}},
        {"id": "b", "fields": {"price": "dear"}},
        {"id": "c", "image": "no base64!"},
        {"id": "d", "image": base64.b64encode(b"no image").decode()},
        {"id": "good"},
    ]
    told = rows(client.post("/v1/items", json={"items": items}))
    assert [where for where, _ in told] == [f"row {row}" for row in (2, 3, 4, 5, 6, 7)]
    for (_, message), word in zip(told, ("cannot be an id", "colour", "price", "base64", "", "given twice")):
        assert word in message
    assert client.get("/v1/items/good").status_code == 404
    told = rows(client.post("/v1/items", json={"items": [good, {"id": "b", "fields": {"price": "dear"}}]}))
    assert [where for where, _ in told] == ["row 2"] and "price" in told[0][1], "a single one, too"
    for status in ("added", "updated"):
        answer = client.post("/v1/items", json={"items": [good]})
        assert answer.json() == {"items": [{"id": "good", "status": status}]}


def test_every_wrong_event_is_named_and_none_is_stored(client):
    item = client.post("/v1/recommend", json={"k": 1}).json()["items"][0]["id"]
    events = [{"user": "ada", "item": item}, {"user": " ", "item": item}, {"user": "ada", "item": "nope"}]
    events += [{"user": "ada", "item": "neither"}, {"user": "ada", "item": item, "event_id": "x\u2028y"}]
    told = rows(client.post("/v1/events", json={"events": events}))
    assert [where for where, _ in told] == ["row 2", "row 3", "row 4", "row 5"]
    assert 'palate_size{kind="events"} 0.0' in client.get("/metrics").text
    many = [{"user": "ada", "item": f"nope-{number}"} for number in range(50)]
    answer = client.post("/v1/events", json={"events": many})
    assert len(rows(answer)) == 20 and "50 of 50 rows" in answer.json()["detail"]


def test_a_request_that_is_sent_again_stores_no_event_twice(client):
    items = [item["id"] for item in client.post("/v1/recommend", json={"k": 2}).json()["items"]]
    events = [{"user": "ada", "item": item, "type": "like"} for item in (items[0], items[0], items[1])]

    def send(key, events=events):
        return client.post("/v1/events", json={"events": events}, headers={"Idempotency-Key": key} if key else {})

    assert send("k1").json() == {"stored": 3, "duplicates": 0}
    assert send("k1").json() == {"stored": 0, "duplicates": 3}
    assert send("k2").json() == {"stored": 3, "duplicates": 0}, "another request"
    assert send(None).json() == {"stored": 3, "duplicates": 0} == send(None).json(), "nothing tells these apart"
    assert send("k1", events[::-1]).status_code == 409, "a key names one content"


def test_a_key_of_another_request_is_told_as_it_was_sent(client):
    items = client.app.state.service.snapshot.ids
    first, other = ({"events": [{"user": "a", "item": item, "type": "like"}]} for item in items[:2])
    sent = {"idempotency-key": "order 7"}
    assert client.post("/v1/events", json=first, headers=sent).status_code == 201
    refused = client.post("/v1/events", json=other, headers=sent)
    assert refused.status_code == 409 and "order 7" in refused.json()["detail"]
    assert "this Idempotency-Key was sent before, with other events" in refused.json()["detail"]
    own = {"events": [{**other["events"][0], "event_id": "e"}, {**first["events"][0], "event_id": "e"}]}
    assert "row 2, key 'e'" in client.post("/v1/events", json=own, headers=sent).json()["detail"]


def test_the_service_names_every_row_too(opened):
    service = opened()
    item = service.snapshot.ids[0]
    with pytest.raises(BatchError, match=r"2 of 3 rows.*row 1.*row 3"):
        service.log_events([Event("ada", "nope"), Event("ada", item), Event("ada", "neither")])
    with pytest.raises(UnknownItem, match="row 2"):
        service.log_events([Event("ada", item), Event("ada", "nope")])
    service.log_events([Event("ada", item, "click", "k1"), Event("ada", item, "click", "k2")])
    with pytest.raises(DuplicateKeyError, match=r"row 1.*row 2"):
        service.log_events([Event("ada", item, "like", "k1"), Event("ada", item, "like", "k2")])
    with pytest.raises(BatchError, match=r"row 1.*colour.*row 2.*price"):
        service.put_items([("a", {"colour": "red"}, None), ("b", {"price": "dear"}, None)])
    assert not list(service.images.glob("*")) and service.catalog_log.last() == 0
