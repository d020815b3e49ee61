"""Accidents while a service runs: its run folder is no run any more, its disk is full, its database comes and goes."""

import errno
import os
import shutil
import sqlite3
import time
from dataclasses import replace

import pytest

import palate
from palate.core.errors import ArtefactError, MissingDependencyError
from palate.serving import availability
from palate.serving.availability import Availability, DatabaseUnavailable
from palate.serving.content_similarity import shares_space
from palate.serving.events import Event
from palate.serving.requests import RecommendRequest


def wait(done, seconds=20.0):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()


def a_file(run):
    run.write_text("no folder")


def a_loop(run):
    run.symlink_to(run)


def a_manifest_that_is_a_folder(run):
    (run / "manifest.json").mkdir(parents=True)


def a_manifest_that_is_a_pipe(run):
    run.mkdir()
    os.mkfifo(run / "manifest.json")


def nothing(run):
    """The folder is only moved away."""


PLACES = [a_file, a_loop, a_manifest_that_is_a_folder, a_manifest_that_is_a_pipe, nothing]


@pytest.mark.parametrize("put", PLACES)
def test_what_is_put_in_place_of_a_run_stops_nothing(opened, runs, put):
    """Also later runs are taken over: whoever watches the folder goes on."""
    service = opened(poll_seconds=0.01)
    before, known = service.snapshot.fingerprint, next(iter(service.snapshot.users))
    service.run.rename(service.run.with_name("aside"))
    put(service.run)
    time.sleep(0.1)
    assert service.snapshot.fingerprint == before and service.problem() is None and service.warnings() == []
    assert service.recommend(RecommendRequest(3, user=known)).fallback is None
    if service.run.is_dir() and not service.run.is_symlink():
        shutil.rmtree(service.run)
    else:
        service.run.unlink(missing_ok=True)
    shutil.copytree(runs("vectors"), service.run.with_name("next"))
    service.run.with_name("next").rename(service.run)
    assert wait(lambda: service.snapshot.fingerprint != before), "the next run takes over"


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left on device"), ArtefactError("cannot be written")]
)
@pytest.mark.parametrize("where", ["store_image", "Replication.put"])
def test_items_on_a_full_disk_may_be_sent_again(opened, world, monkeypatch, caplog, fault, where):
    def full(*given):
        raise fault

    service = opened()
    picture = (world / palate.load(world).items.frame["image"].drop_nulls()[0]).read_bytes()
    with monkeypatch.context() as patch:
        owner = "palate.serving.catalog_writer" if where == "store_image" else "palate.serving.replication"
        patch.setattr(f"{owner}.{where}", full)
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="items cannot be stored at the moment") as told:
                service.put_items([("new", {"title": "Lamp"}, picture)])
            assert str(service.state) not in str(told.value), "a path is a server internal"
    assert caplog.text.count("items cannot be stored in") <= 1
    assert service.put_items([("new", {"title": "Lamp"}, picture)]) == ["added"]


def test_pictures_that_cannot_be_swept_stop_nobody(opened, monkeypatch):
    def refuse(*given):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("palate.serving.catalog_writer.remove_unused_images", refuse)
    service = opened()
    monkeypatch.setattr(service.catalog, "_next_sweep", 0.0)
    item = service.snapshot.ids[0]
    service.remove_item(item)
    assert service.snapshot.row(item) < 0


def test_a_server_is_ready_only_when_it_can_write_again(opened, monkeypatch):
    """A transaction that writes nothing succeeds on a full disk."""
    monkeypatch.setattr(availability, "RETRY_SECONDS", 0.0)
    service = opened()
    reader = sqlite3.connect(service.state / "shop.db")

    def commits_seen():
        return reader.execute("PRAGMA data_version").fetchone()[0]

    before = commits_seen()
    assert service.problem() is None and commits_seen() == before
    service.database.writes.failed("the disk of the database is full")
    assert service.problem() is None and commits_seen() != before
    reader.close()


def test_a_database_that_comes_and_goes_is_logged_once_in_a_while(caplog, monkeypatch):
    monkeypatch.setattr(availability, "RETRY_SECONDS", 0.0)
    state = Availability("nothing can be read")
    for _ in range(50):
        state.failed("it is away")
        state.succeeded()
    state.failed("it is damaged")
    assert caplog.text.count("it is away; tried again") == 1 and caplog.text.count("answers again") == 1
    assert "it is damaged" in caplog.text


def test_an_erased_user_leaves_the_files_once_nobody_reads_them(opened):
    service = opened()
    file = service.state / "shop.db"
    service.log_events([Event("a-name-to-erase", service.snapshot.ids[0], "like")])
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchall()
    assert service.erase_user("a-name-to-erase").events == 1

    def stays():
        return any(b"a-name-to-erase" in path.read_bytes() for path in service.state.glob("shop.db*"))

    assert stays(), "as long as it is read"
    reader.execute("ROLLBACK")
    service.replication.watch(0.01)
    assert wait(lambda: not stays())
    reader.close()


def test_all_events_of_a_user_are_erased_in_several_transactions(opened, monkeypatch):
    monkeypatch.setattr("palate.serving.events.ERASED_AT_ONCE", 2)
    service = opened()
    items = service.snapshot.ids[:7]
    service.log_events([Event(user, item, "like") for item in items for user in ("ada", "ben")])
    writes = []
    write = service.database.write
    monkeypatch.setattr(service.database, "write", lambda work: writes.append(1) or write(work))
    assert service.erase_user("ada").events == 7 and service.events.for_user("ada") == []
    assert len(service.events.for_user("ben")) == 7
    assert len(writes) == 4, "other writers come in between"


@pytest.mark.parametrize("fault", [ArtefactError("of another version"), MissingDependencyError("none", "minilm")])
@pytest.mark.parametrize(("broken", "told"), [(("image",), False), (("text", "image"), True)])
def test_words_are_found_without_encoders(opened, monkeypatch, caplog, fault, broken, told):
    """Also where only the encoder of pictures is missing, which a text does not need."""
    service = opened()
    snapshot = service.snapshot
    encoders, plan = snapshot.content.encoders, snapshot.content.plan

    class Partly(dict):
        def __getitem__(self, name):
            if plan[name][0] in broken:
                raise fault
            return encoders[name]

    monkeypatch.setattr(snapshot, "content", replace(snapshot.content, encoders=Partly.fromkeys(encoders)))
    title = snapshot.stats.titles[3]
    for _ in range(3):
        response = service.recommend(RecommendRequest(5, text=title))
        assert response.items[0].title == title and response.source == "match"
        assert any("by its words alone" in note for note in response.notes) is told
    assert caplog.text.count("words alone") == (1 if told else 0)
    assert not shares_space(snapshot)
    with pytest.raises(type(fault)):
        service.recommend(RecommendRequest(5, image=b"x"))
