"""The catalogue log: all or none, in order, the last event of an item counts, shared by concurrent writers."""

import threading

import pytest

from palate.core.errors import DataError
from palate.serving.catalog_log import CatalogLog
from palate.serving.database import Database
from palate.serving.events import Event, EventStore


@pytest.fixture
def database(url):
    made = Database(url)
    yield made
    made.close()


@pytest.fixture
def log(database):
    return CatalogLog(database)


def test_logged_items_come_back_in_order(log, database):
    assert log.last() == 0 and log.put([]) == []
    fields = {"title": "Lámpara \0", "price": 3.5, "tags": ["a", "b"], "none": None}
    places = log.put([("a", fields, "f" * 64), ("b", {}, None)])
    gone = log.drop("a")
    assert [*places, gone] == sorted({*places, gone}) and log.last() == gone
    first, second, third = CatalogLog(database).since(0)
    assert (first.item, first.kind, first.fields, first.image) == ("a", "put", fields, "f" * 64)
    assert (second.item, second.fields, second.image) == ("b", {}, None) and second.time == first.time > 1.7e9
    assert (third.id, third.item, third.kind, third.fields, third.image) == (gone, "a", "drop", {}, None)
    assert log.since(places[1]) == [third] and log.since(gone) == []


@pytest.mark.parametrize("wrong", [("", {}, None), ("a", {"price": float("nan")}, None), ("a", {"x": object()}, None)])
def test_all_or_none(log, wrong):
    with pytest.raises(DataError):
        log.put([("good", {}, None), wrong])
    assert log.last() == 0


def test_catalogue_and_events_share_a_database(log, database):
    store = EventStore(database)
    before = database.version()
    log.drop("a")
    between = database.version()
    assert before != between
    store.add([Event("u", "a")])
    assert database.version() != between == between and store.count() == log.last() == 1


def test_many_writers_at_once(log):
    threads = [
        threading.Thread(target=lambda n=n: [log.put([(f"{n}-{i}", {}, None)] * 2) for i in range(10)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = [a.item for a in log.since(0)]
    assert len(items) == 80 and items[::2] == items[1::2], "what was put together stays together"
    assert len(set(items)) == 40
