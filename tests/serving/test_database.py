"""The database: away, locked, frozen, damaged or of another version; nobody waits for it, and nothing comes back."""

import logging
import os
import random
import signal
import sqlite3
import stat
import threading
import time

import psutil
import pytest
import sqlalchemy as sql

from palate.core.errors import ConfigError
from palate.serving import availability
from palate.serving.availability import Availability, DatabaseUnavailable, TimeLimit
from palate.serving.catalog_log import CatalogLog
from palate.serving.database import Database
from palate.serving.events import HIDDEN_BEFORE, MAX_EVENTS_OF_USER, OF_USER, DuplicateKeyError, Event, EventStore
from palate.serving.limited_log import LimitedLog
from palate.serving.schema import SCHEMA_VERSION


@pytest.fixture
def impatient(monkeypatch):
    """Short waits, so that tests take no seconds."""
    monkeypatch.setattr("palate.serving.database.READ_SECONDS", 0.05)
    monkeypatch.setattr("palate.serving.database.WRITE_SECONDS", 0.1)
    monkeypatch.setattr("palate.serving.database.PATIENT_SECONDS", 0.3)
    monkeypatch.setattr(availability, "RETRY_SECONDS", 0.05)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "shop.db"


@pytest.fixture
def store(url):
    made = EventStore(url)
    yield made
    made.close()


def test_a_key_belongs_to_its_user(store):
    first = Event("anna", "a", "click", key="k")
    assert store.add([first]).duplicates == 0 == store.add([Event("ben", "b", "like", key="k")]).duplicates
    assert [(e.item, e.kind) for e in store.for_user("ben")] == [("b", "like")]
    again = store.add([Event("anna", "a", "click", key="k"), Event("anna", "c", key="l")])
    assert again.duplicates == 1 and again.places[0] == store.for_user("anna")[0].id
    for other in (Event("anna", "b", "click", key="k"), Event("anna", "a", "like", key="k")):
        with pytest.raises(DuplicateKeyError, match="row 2, key 'k'"):
            store.add([Event("anna", "new"), other])
    with pytest.raises(DuplicateKeyError, match="row 2"):
        store.add([Event("cleo", "a", key="m"), Event("cleo", "b", key="m")])
    assert store.count() == 3, "all or none"


def test_a_long_history_is_read_at_its_end_but_hidden_items_stay_hidden(store):
    store.add([Event("u", "hidden", "hide"), Event("u", "shown", "hide"), Event("v", "other", "hide")])
    store.add([Event("u", "shown", "unhide"), Event("u", "twice", "hide"), Event("u", "twice", "hide")])
    store.add([Event("u", f"i{number}") for number in range(MAX_EVENTS_OF_USER + 100)])
    events = store.for_user("u")
    older, latest = events[:-MAX_EVENTS_OF_USER], events[-MAX_EVENTS_OF_USER:]
    assert [e.item for e in latest] == [f"i{number}" for number in range(100, MAX_EVENTS_OF_USER + 100)]
    assert [e.item for e in older] == ["hidden", "twice", "twice"]
    assert [e.id for e in events] == sorted(e.id for e in events)


def test_what_a_user_costs_does_not_grow_with_their_events(file):
    """The plan of each query goes by an index, whose end it reads."""
    store = EventStore(f"sqlite:///{file}")
    for query in (OF_USER.params(who="u"), HIDDEN_BEFORE.params(who="u", place=9)):
        text = str(query.compile(store.database.engine, compile_kwargs={"literal_binds": True}))
        plan = " ".join(row[-1] for row in store.database.query(sql.text(f"EXPLAIN QUERY PLAN {text}")))
        assert "USING INDEX events_user" in plan and "SCAN events" not in plan, plan
    store.close()


def as_version_1(url, rows):
    """The tables as they were when keys were unique for all users together."""
    engine = sql.create_engine(url)
    number = "INTEGER PRIMARY KEY AUTOINCREMENT" if engine.dialect.name == "sqlite" else "BIGSERIAL PRIMARY KEY"
    double = "DOUBLE" if engine.dialect.name == "sqlite" else "DOUBLE PRECISION"
    with engine.begin() as connection:
        connection.execute(
            sql.text(
                f'CREATE TABLE events (id {number}, "key" VARCHAR(200) NOT NULL UNIQUE, "user" VARCHAR(200) NOT NULL, '
                f"item VARCHAR(200) NOT NULL, kind VARCHAR(16) NOT NULL, time {double} NOT NULL)"
            )
        )
        connection.execute(sql.text('CREATE INDEX ix_events_user ON events ("user")'))
        connection.execute(sql.text(f"CREATE TABLE forgotten (id {number}, who VARCHAR(64) NOT NULL)"))
        for key, user, item, kind in rows:
            add = 'INSERT INTO events ("key", "user", item, kind, time) VALUES (:key, :user, :item, :kind, 1)'
            connection.execute(sql.text(add), {"key": key, "user": user, "item": item, "kind": kind})
        connection.execute(sql.text("DELETE FROM events WHERE kind = 'gone'"))
    engine.dispose()


def test_an_older_database_is_brought_up_to_date(url):
    as_version_1(url, [("k", "anna", "a", "like"), ("l", "ben", "b", "hide"), ("m", "ben", "c", "gone")])
    stores = [EventStore(url) for _ in range(2)]
    for store in stores:
        CatalogLog(store.database)
        assert [(e.id, e.key, e.item) for e in store.since(0)] == [(1, "k", "a"), (2, "l", "b")]
    assert stores[0].add([Event("cleo", "d", key="k")]).places == [4], "no place is given twice"
    assert stores[1].database.query(sql.text("SELECT version FROM palate_schema")) == [(SCHEMA_VERSION,)]
    for store in stores:
        store.close()


def test_a_database_of_another_version_is_refused(url):
    made = EventStore(url)
    made.database.write(lambda connection: connection.execute(sql.text("UPDATE palate_schema SET version = 9")))
    made.close()
    for open_it in (EventStore, lambda url: CatalogLog(Database(url))):
        with pytest.raises(ConfigError, match="schema version 9"):
            open_it(url)


def test_a_table_of_another_program_is_refused(url):
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sql.text("CREATE TABLE events (id INTEGER, who TEXT)"))
    engine.dispose()
    with pytest.raises(ConfigError, match="'events' of the database lacks the columns"):
        EventStore(url)


def test_an_unknown_kind_is_passed_over_and_named_once(store, caplog, monkeypatch):
    monkeypatch.setattr("palate.serving.events.SKIPPED", LimitedLog())
    store.add([Event("u", "a"), Event("u", "b")])
    store.database.write(lambda c: c.execute(sql.text("UPDATE events SET kind = 'buy' WHERE item = 'a'")))
    for _ in range(3):
        assert [e.item for e in store.for_user("u")] == ["b"]
    assert caplog.text.count("passed over") == 1 and "'buy'" in caplog.text


def test_the_file_is_private(file):
    file.touch(0o644)
    store = EventStore(f"sqlite:///{file}")
    store.add([Event("u", "a")])
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    store.close()


@pytest.mark.parametrize("damage", ["header", "pages"])
def test_damage_is_named_at_the_start(file, damage):
    store = EventStore(f"sqlite:///{file}")
    store.add([Event(f"user{number % 60}", f"i{number}") for number in range(3000)])
    store.close()
    data, rng = bytearray(file.read_bytes()), random.Random(0)
    spots = range(16) if damage == "header" else [rng.randrange(4096, len(data)) for _ in range(400)]
    for at in spots:
        data[at] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        EventStore(f"sqlite:///{file}")


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_nothing_is_written_into_files_that_are_gone(file, suffix, impatient):
    store = EventStore(f"sqlite:///{file}")
    store.add([Event("u", "a")])
    file.with_name(file.name + suffix).unlink()
    with pytest.raises(DatabaseUnavailable, match="replaced or removed"):
        store.add([Event("u", "b")])
    store.close()


def test_a_locked_file_is_read_and_writers_are_refused_in_time(file, impatient, caplog):
    store = EventStore(f"sqlite:///{file}")
    store.add([Event("u", "a")])
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = []

    def write(number):
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="locked"):
            store.add([Event("u", f"i{number}")])
        refused.append(time.monotonic() - started)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 12 and max(refused) < 2, "one after another, they would take more than the time of one"
    assert [e.item for e in store.for_user("u")] == ["a"], "readers go on"
    assert "locked" in store.database.problem()
    assert caplog.text.count("cannot be stored") == 1
    other.execute("COMMIT")
    other.close()
    assert recovered(store)
    assert store.add([Event("u", "b")]).duplicates == 0 and store.database.problem() is None
    store.close()


def test_a_file_locked_for_readers_too(file, impatient):
    store = EventStore(f"sqlite:///{file}")
    store.add([Event("u", "a")])
    store.close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("UPDATE events SET time = 2")
    with pytest.raises(ConfigError, match="locked"):
        EventStore(f"sqlite:///{file}")
    other.close()


def recovered(store, seconds=60.0):
    until = time.monotonic() + seconds
    while store.database.problem() is not None and time.monotonic() < until:
        time.sleep(0.02)
    return store.database.problem() is None


def test_a_frozen_server_is_left_behind(postgres, impatient, caplog):
    store = EventStore(postgres.database())
    store.add([Event("u", "a")])
    server = psutil.Process(postgres.process.pid)
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        for work in (lambda: store.for_user("u"), store.version, lambda: store.add([Event("u", "b", key="b")])):
            with pytest.raises(DatabaseUnavailable):
                work()
        assert store.database.problem() is not None
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)
    assert recovered(store)
    assert store.add([Event("u", "b", key="b")]).places and {e.item for e in store.for_user("u")} == {"a", "b"}
    assert caplog.text.count("cannot be read") == 1 == caplog.text.count("cannot be stored")
    store.close()


def test_a_server_that_is_away_comes_back(postgres, monkeypatch):
    monkeypatch.setattr(availability, "RETRY_SECONDS", 0.05)
    store = EventStore(postgres.database())
    store.add([Event("u", "a")])
    postgres.kill()
    try:
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            store.for_user("u")
        assert "cannot be reached" in store.database.problem()
    finally:
        postgres.start()
    assert recovered(store) and [e.item for e in store.for_user("u")] == ["a"]
    store.close()


def test_one_caller_in_a_while_tries_again(monkeypatch, caplog):
    monkeypatch.setattr(availability, "RETRY_SECONDS", 60.0)
    caplog.set_level(logging.WARNING)
    state = Availability("nothing can be read")
    state.check()
    state.failed("it is away")
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable, match="nothing can be read at the moment: it is away"):
            state.check()
    monkeypatch.setattr(availability, "RETRY_SECONDS", 0.0)
    state.failed("it is away")
    state.check()
    state.succeeded()
    state.check()
    assert caplog.text.count("it is away; tried again") == 1 and "answers again" in caplog.text


def test_work_that_takes_long_is_left_behind():
    release, limit = threading.Event(), TimeLimit(2)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                limit.run(lambda: release.wait(20), 0.02)
    finally:
        release.set()
    assert limit.run(lambda: 7, 20) == 7
    with pytest.raises(ValueError, match="no"):
        limit.run(lambda: int("no"), 20)
