"""The event store: said twice is stored once, acknowledged survives a kill, the forgotten are gone."""

import os
import random
import signal
import subprocess
import sys
import threading

import pytest
from sqlalchemy.exc import OperationalError

from palate.core.errors import DataError
from palate.serving.events import Event, EventStore, mark_of

WRITER = """
import sys
from palate.serving.events import Event, EventStore
store = EventStore(sys.argv[1])
for number in range(int(sys.argv[2]), 10**6):
    store.add([Event("u", f"i{number}", key=f"k{number}"), Event("u", f"i{number}", "like", key=f"l{number}")])
    print(number, flush=True)
"""


@pytest.fixture
def store(tmp_path):
    made = EventStore(f"sqlite:///{tmp_path / 'events.db'}")
    yield made
    made.close()


def test_what_is_added_comes_back_in_order_and_once(store):
    events = [Event("u", "a"), Event("v", "b", "like"), Event("u", "c", "hide")]
    places = store.add(events)
    assert places == sorted(set(places)) and store.add(events[1:]) == places[1:] and store.count() == 3
    assert [e.item for e in store.of("u")] == ["a", "c"] and store.of("nobody") == []
    assert [(e.key, e.id) for e in store.since(places[0])] == [(e.key, p) for e, p in zip(events[1:], places[1:])]
    assert store.add([]) == [] and len(store.since(0, most=2)) == 2
    assert store.add([events[0], events[0]]) == [places[0]] * 2
    many = [Event("w", f"i{number}") for number in range(2500)]
    assert store.add(many) == [e.id for e in store.of("w")] and [e.item for e in store.of("w")] == [
        e.item for e in many
    ]


def test_the_forgotten_leave_no_name(store):
    store.add([Event("anna", "a"), Event("anna", "b"), Event("ben", "a")])
    last = store.since(0)[-1].id
    assert store.forget("anna") == 2 and store.of("anna") == [] and store.count() == 1
    place, marks = store.forgotten_since(0)
    assert marks == [mark_of("anna")] and "anna" not in marks[0]
    assert store.forgotten_since(place) == (place, [])
    assert store.add([Event("anna", "c")])[0] > last, "places are never given twice"


@pytest.mark.parametrize("wrong", [{"kind": "buy"}, {"user": ""}, {"item": "x" * 201}, {"key": "a\0b"}])
def test_what_is_no_event_is_refused(wrong):
    with pytest.raises(DataError):
        Event(**{"user": "u", "item": "i", **wrong})


def test_all_or_none(store):
    broken = Event("u", "a")
    object.__setattr__(broken, "user", None)
    with pytest.raises(Exception, match="NOT NULL"):
        store.add([Event("u", "b"), broken])
    assert store.count() == 0


def test_many_write_at_once(store):
    def write(who):
        for number in range(20):
            store.add([Event(who, "i", key=f"{who}-{number}"), Event("all", "i", key=f"shared-{number}")])

    threads = [threading.Thread(target=write, args=(f"u{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 4 * 20 + 20


def test_acknowledged_events_survive_a_kill(tmp_path):
    url, rng, said = f"sqlite:///{tmp_path / 'events.db'}", random.Random(0), []
    EventStore(url).close()
    for _ in range(4):
        start = said[-1] + 1 if said else 0
        writer = subprocess.Popen([sys.executable, "-c", WRITER, url, str(start)], stdout=subprocess.PIPE, text=True)
        for _ in range(rng.randrange(1, 30)):
            said.append(int(writer.stdout.readline()))
        os.kill(writer.pid, signal.SIGKILL)
        said.extend(int(line) for line in writer.stdout.read().split())
        writer.wait()
    store = EventStore(url)
    clicks = [e.item for e in store.of("u") if e.kind == "click"]
    likes = [e.item for e in store.of("u") if e.kind == "like"]
    assert clicks == likes and len(set(clicks)) == len(clicks), "all or none, never twice"
    assert {f"i{number}" for number in said} <= set(clicks) and len(clicks) - len(said) <= 4
    store.close()


def test_an_unreachable_database_says_so(tmp_path):
    with pytest.raises(OperationalError):
        EventStore(f"sqlite:///{tmp_path}/no/folder/events.db")
