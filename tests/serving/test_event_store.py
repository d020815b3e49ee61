"""The event store: an event sent twice is stored once, an acknowledged one survives a kill, erased users are gone."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading

import pytest
from sqlalchemy.exc import IntegrityError

from palate.core.errors import ConfigError, DataError
from palate.serving.events import Event, EventStore

WRITER = """
import sys
from palate.serving.events import Event, EventStore
store = EventStore(sys.argv[1])
for number in range(int(sys.argv[2]), 10**6):
    store.add([Event("u", f"i{number}", key=f"k{number}"), Event("u", f"i{number}", "like", key=f"l{number}")])
    print(number, flush=True)
"""


KEY = b"a shop's own"


@pytest.fixture
def store(url):
    made = EventStore(url, KEY)
    yield made
    made.close()


def writer(url, start=0):
    """A process that prints which events were acknowledged."""
    return subprocess.Popen([sys.executable, "-c", WRITER, url, str(start)], stdout=subprocess.PIPE, text=True)


def check_kept(url, said, kills):
    """Every acknowledged event is stored whole and once; a kill may leave one more that was not acknowledged."""
    store = EventStore(url)
    events = store.since(0, limit=10**6)
    clicks = [e.item for e in events if e.kind == "click"]
    likes = [e.item for e in events if e.kind == "like"]
    assert clicks == likes and len(set(clicks)) == len(clicks), "all or none, never twice"
    assert {f"i{number}" for number in said} <= set(clicks) and len(clicks) - len(said) <= kills
    store.close()


def test_events_come_back_in_order_and_once(store):
    events = [Event("u", "a"), Event("v", "b", "like"), Event("u", "c", "hide")]
    places, duplicates = store.add(events)
    assert duplicates == 0
    assert places == sorted(set(places)) and store.count() == 3
    assert store.add(events[1:]) == (places[1:], 2) and store.count() == 3
    assert [e.item for e in store.for_user("u")] == ["a", "c"] and store.for_user("nobody") == []
    assert [(e.key, e.id) for e in store.since(places[0])] == [(e.key, p) for e, p in zip(events[1:], places[1:])]
    assert store.add([]) == ([], 0) and len(store.since(0, limit=2)) == 2
    assert store.add([events[0], events[0]]) == ([places[0]] * 2, 2)
    many = [Event("w", f"i{number}") for number in range(2500)]
    places = store.add(many).places
    assert [(e.id, e.item) for e in store.since(places[0] - 1)] == [(p, e.item) for p, e in zip(places, many)]


def test_erased_users_leave_no_name(store):
    store.add([Event("anna", "a"), Event("anna", "b"), Event("ben", "a")])
    last = store.since(0)[-1].id
    assert store.erase("anna") == 2 and store.for_user("anna") == [] and store.count() == 1
    place, marks = store.erased_since(0)
    assert marks == [store.erasure_token("anna")] and "anna" not in marks[0]
    assert store.erased_since(place) == (place, [])
    assert store.add([Event("anna", "c")]).places[0] > last, "places are never given twice"


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "buy"}, {"user": ""}, {"item": "x" * 201}, {"key": "a\0b"}, {"user": "\ud800"}, {"time": float("nan")}],
)
def test_an_invalid_event_is_refused(wrong):
    with pytest.raises(DataError):
        Event(**{"user": "u", "item": "i", **wrong})


def test_all_or_none(store):
    broken = Event("u", "a")
    object.__setattr__(broken, "user", None)
    with pytest.raises(IntegrityError):
        store.add([Event("u", "b"), broken])
    assert store.count() == 0


def test_many_writers_at_once(store):
    def write(who):
        for number in range(20):
            store.add([Event(who, "i", key=f"{who}-{number}"), Event("all", "i", key=f"shared-{number}")])

    threads = [threading.Thread(target=write, args=(f"u{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 4 * 20 + 20


def test_acknowledged_events_survive_a_kill(url):
    rng, said = random.Random(0), []
    for _ in range(4):
        process = writer(url, said[-1] + 1 if said else 0)
        for _ in range(rng.randrange(1, 30)):
            said.append(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        said.extend(int(line) for line in process.stdout.read().split())
        process.wait()
    check_kept(url, said, 4)


def test_acknowledged_events_survive_a_kill_of_the_server(postgres):
    url, rng, said = postgres.database(), random.Random(1), []
    lasting = EventStore(url)
    for _ in range(3):
        process = writer(url, said[-1] + 1 if said else 0)
        for _ in range(rng.randrange(1, 30)):
            said.append(int(process.stdout.readline()))
        postgres.kill()
        said.extend(int(line) for line in process.stdout.read().split())
        assert process.wait() != 0, "what is not stored is not acknowledged"
        postgres.start()
        assert lasting.count() >= 2 * len(said), "a store that was open goes on"
    lasting.close()
    check_kept(url, said, 3)


def test_erasure_tokens_cannot_be_tried_without_the_key(store):
    plain, other, again = (EventStore(store.database, key) for key in (b"", b"another's", KEY))
    assert plain.erasure_token("anna") == hashlib.blake2b(b"anna", digest_size=16).hexdigest()
    assert (
        len(
            {
                plain.erasure_token("anna"),
                other.erasure_token("anna"),
                store.erasure_token("anna"),
                store.erasure_token("ben"),
            }
        )
        == 4
    )
    assert again.erasure_token("anna") == store.erasure_token("anna")
    with pytest.raises(ConfigError, match="64 bytes"):
        EventStore(store.database, b"k" * 65)


def test_erased_users_leave_the_files(tmp_path):
    store = EventStore(f"sqlite:///{tmp_path / 'shop.db'}", KEY)
    store.add([Event(f"{who}-with-a-name", "a") for who in ("anna", "ben") for _ in range(50)])
    assert store.erase("anna-with-a-name") == 50
    found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"anna" not in found and b"ben-with-a-name" in found
    store.close()


def test_recent_users_come_first(store):
    assert store.recent_users() == []
    store.add([Event(who, "a") for who in ("anna", "ben", "anna", "cleo", "ben")])
    assert store.recent_users() == ["ben", "cleo", "anna"] and store.recent_users(1) == ["ben"]


def test_the_version_changes_when_another_process_writes(store, url):
    def differs():
        nonlocal seen
        before, seen = seen, store.version()
        return before != seen

    seen = store.version()
    assert not differs()
    process = writer(url)
    process.stdout.readline()
    process.kill()
    process.wait()
    assert differs() and not differs()
    store.add([Event("v", "a")])
    assert differs() and not differs()
    store.for_user("u"), store.count(), store.recent_users()
    assert not differs(), "reading is no news"
    store.erase("v")
    assert differs()
    store.erase("nobody")
    assert differs() and not differs()


def test_many_processes_open_a_new_database_at_once(url):
    code = "import sys; from palate.serving.events import EventStore; print(EventStore(sys.argv[1]).count())"
    command = [sys.executable, "-c", code, url]
    many = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    assert [process.communicate() for process in many] == [("0\n", "")] * 6


def test_a_reader_that_goes_on_from_a_place_misses_nothing(store, url):
    """Places become visible in their order, however many write."""
    writers = [writer(url, 1000 * number) for number in range(2)]
    for process in writers:
        process.stdout.readline()
    seen, place = [], 0
    for _ in range(50):
        news = store.since(place)
        seen += [e.id for e in news]
        place = seen[-1]
    for process in writers:
        process.kill()
        process.wait()
    assert seen == [e.id for e in store.since(0, limit=10**6) if e.id <= place]


def test_an_invalid_url_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="SQLite or PostgreSQL"):
        EventStore("mysql://root@localhost/shop")
    with pytest.raises(ConfigError, match="invalid database URL"):
        EventStore("shop.db")
    with pytest.raises(ConfigError, match="the database cannot be reached"):
        EventStore(f"sqlite:///{tmp_path}/no/folder/events.db")
