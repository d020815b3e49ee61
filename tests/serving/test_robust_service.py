"""The service where something is missing: a run that cannot be changed, a database away, a late stage, a bad swap."""

import errno
import os
import shutil
import sqlite3
import stat
import time

import numpy as np
import polars as pl
import psutil
import pytest
import sqlalchemy as sql
from hypothesis import given, settings
from hypothesis import strategies as st

import palate
from palate.contracts import Matcher, models
from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import folder_digests, read_json, read_tensors, write_json
from palate.features.plan import plan_content
from palate.serving.availability import DatabaseUnavailable
from palate.serving.events import Event
from palate.serving.index.vector_index import remove_unused
from palate.serving.requests import RecommendRequest
from palate.serving.secret import read_secret
from palate.serving.service import RecommenderService
from palate.serving.settings import run_names
from palate.serving.snapshot_builder import open_snapshot
from palate.serving.user_state import known_user
from palate.training.erase import erase_user


def ids(response):
    return [item.id for item in response.items]


def wait(done, seconds=20.0):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()


def swap(service, run):
    """Put another run where the served one is."""
    aside = service.run.with_name("aside")
    shutil.copytree(run, aside)
    service.run.rename(service.run.with_name(f"old-{time.monotonic_ns()}"))
    aside.rename(service.run)


def take_away(service, monkeypatch):
    def refuse(*given, **values):
        raise sql.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    monkeypatch.setattr(service.database, "_rows", refuse)
    monkeypatch.setattr(service.database, "_data_version", refuse)
    monkeypatch.setattr(service.database, "_transaction", refuse)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EXDEV, errno.EACCES, errno.EBUSY])
def test_erasing_where_the_run_cannot_be_changed(opened, monkeypatch, caplog, code):
    def refuse(run, user):
        raise shutil.Error([("a", "b", "no")]) if code == errno.EXDEV else OSError(code, os.strerror(code))

    service = opened("vectors")
    monkeypatch.setattr("palate.serving.erase.erase_user", refuse)
    known, other = list(service.snapshot.users)[:2]
    popular = ids(service.recommend(RecommendRequest(5)))
    assert service.erase_user(known) == (0, True, False)
    assert ids(service.recommend(RecommendRequest(5, user=known))) == popular
    again = opened("vectors")
    assert again.recommend(RecommendRequest(5, user=other)).fallback is None
    assert again.recommend(RecommendRequest(5, user=known)).fallback == "new_user"
    assert again.erase_user(known).run_files_erased is False, "their files still hold the user"
    assert known in open_snapshot(service.run).users
    assert caplog.text.count("cannot be changed") == 2, "once for each service"
    monkeypatch.undo()
    assert known not in open_snapshot(opened("vectors").run).users, "tried again at the next start"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(opened):
    service = opened()
    service.run.parent.chmod(0o500)
    try:
        assert service.erase_user(next(iter(service.snapshot.users))).run_files_erased is False
    finally:
        service.run.parent.chmod(0o700)


def test_a_run_that_takes_over_brings_nobody_back(opened, runs):
    service = opened("vectors", poll_seconds=0.02)
    erased = list(service.snapshot.users)[:3]
    for user in erased:
        service.erase_user(user)
    before = service.snapshot.fingerprint
    assert wait(lambda: service.snapshot.fingerprint != before)
    swap(service, runs("knn"))
    assert wait(lambda: service.snapshot.model.name == "content_knn")
    assert not set(erased) & set(service.snapshot.users)
    assert wait(lambda: not set(erased) & set(open_snapshot(service.run).users)), "nor on disk"
    for user in erased:
        assert service.recommend(RecommendRequest(5, user=user)).fallback == "new_user"


RECOMMENDERS = sorted(name for name in models.names() if issubclass(models.get(name), Matcher))


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_no_tensor_of_a_run_holds_an_erased_user(name, tmp_path):
    """Every tensor with a row a user, of the model and of all its members, is zero in the row of the erased one."""
    rng = np.random.default_rng(0)
    n_users, n_items = 17, 23
    pairs = [(f"u{user}", f"i{item}") for user in range(n_users) for item in rng.permutation(n_items)[:6]]
    data = palate.Dataset.from_frames(
        pl.DataFrame(
            {
                "item": [f"i{i}" for i in range(n_items)],
                "title": [f"word{i % 5} thing" for i in range(n_items)],
                "maker": [f"maker {i % 4}" for i in range(n_items)],
            }
        ),
        pl.DataFrame(pairs, schema=["user", "item"], orient="row").with_row_index("time"),
        split="random",
    )
    model = fitted(name, data)
    run = model.save(tmp_path / "run")
    row = int(model.deployment.users.rows(["u3"])[0])
    before = tensors(run)
    assert erase_user(run, "u3")
    named = read_json(run / "manifest.json")["user_tensors"]
    for key, tensor in tensors(run).items():
        if tensor.ndim and len(tensor) in (n_users, n_users + n_items):
            assert key in named and not tensor[row].any(), key
            others = np.arange(len(tensor)) != row
            assert (tensor[others] == before[key][others]).all(), key


def tensors(run):
    files = [file for file in run.glob("*.safetensors") if file.name != "seen.safetensors"]
    return {name: tensor for file in files for name, tensor in read_tensors(file).items()}


def fitted(name, data):
    small = {"dim": 4, "epochs": 1}
    options = {
        "blend": {"members": ("bpr", "lightgcn", "popularity"), "settings": {"bpr": small, "lightgcn": small}},
        "mmr": {"base": "lightgcn:dim=4;epochs=1"},
    }.get(name)
    model_class = models.get(name)
    if options is None:
        options = {key: value for key, value in small.items() if key in model_class.Config.model_fields}
    content = plan_content(data, {"text": "tfidf", "image": "none", "audio": "none"})
    return model_class(**options).fit(data, content=content)


def test_a_database_that_is_away(opened, monkeypatch, caplog):
    service = opened()
    known = next(iter(service.snapshot.users))
    best = ids(service.recommend(RecommendRequest(2, user=known)))
    service.log_events([Event("ada", best[0], "like")])
    plain = ids(service.recommend(RecommendRequest(10, user=known)))
    with monkeypatch.context() as patch:
        take_away(service, patch)
        for _ in range(3):
            response = service.recommend(RecommendRequest(10, user=known))
            assert ids(response) == plain and response.fallback is None
            assert response.timings[0][::2] == ("history", "failed") and "database" in response.notes[0]
        ada = service.recommend(RecommendRequest(10, user="ada"))
        assert ada.fallback == "history_unavailable" and ada.source == "popular"
        assert service.recommend(RecommendRequest(10, history=best)).fallback is None
        assert service.recommend(RecommendRequest(10)).notes == ()
        with pytest.raises(DatabaseUnavailable):
            service.log_events([Event("ada", best[0], "like")])
        with pytest.raises(DatabaseUnavailable):
            service.erase_user("ada")
        assert service.problem()
    assert wait(lambda: service.problem() is None)
    assert service.recommend(RecommendRequest(10, user="ada")).fallback is None
    assert caplog.text.count("cannot be read: the database cannot be reached") == 1


def test_a_locked_file_keeps_nobody_waiting(opened, monkeypatch):
    monkeypatch.setattr("palate.serving.database.WRITE_SECONDS", 0.1)
    service = opened()
    other = sqlite3.connect(service.state / "shop.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    known = next(iter(service.snapshot.users))
    with pytest.raises(DatabaseUnavailable):
        service.log_events([Event("ada", service.snapshot.ids[0])])
    assert service.recommend(RecommendRequest(5, user=known)).notes == (), "what is stored can be read"
    other.close()


def test_indexes_of_former_runs_are_removed(opened, runs, tmp_path):
    service = opened("vectors", poll_seconds=0.02)
    folder, first = service.indexes, service.snapshot.fingerprint
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 1 and remove_unused(folder) == [], "one that is open stays"
    seen = [first]
    for seed in range(3):
        model = palate.models.BPR(dim=4 + seed, epochs=1)
        other = refit(model, service, tmp_path / f"fit-{seed}")
        swap(service, other)
        assert wait(lambda: service.snapshot.fingerprint not in seen)
        seen.append(service.snapshot.fingerprint)
        assert len(ids(service.recommend(RecommendRequest(5, user=next(iter(service.snapshot.users)))))) == 5
    # one is removed with the next change if somebody still read it
    assert wait(lambda: remove_unused(folder) is not None and len(list(folder.iterdir())) <= 2)


def refit(model, service, folder):
    rng = np.random.default_rng(0)
    items = service.snapshot.items.frame.select("item_id", "title")
    pairs = [(f"u{user}", item) for user in range(20) for item in rng.choice(items["item_id"].to_list(), 5, False)]
    log = pl.DataFrame(pairs, schema=["user", "item_id"], orient="row")
    data = palate.Dataset.from_frames(items, log, split="random")
    return model.fit(data).save(folder)


def test_runs_of_one_name_are_refused(tmp_path, runs):
    folder = tmp_path / "a" / "main"
    with pytest.raises(ConfigError, match=r"'main'.*the served run"):
        run_names(tmp_path / "run", [folder])
    with pytest.raises(ConfigError, match="'x'"):
        run_names(tmp_path / "run", [tmp_path / "a" / "x", tmp_path / "b" / "x"])
    assert list(run_names("run", [tmp_path / "x", f"{tmp_path}/y/"])) == ["main", "x", "y"]
    shutil.copytree(runs("vectors"), tmp_path / "content_knn")
    with pytest.raises(ConfigError, match="a member of the served model"):
        RecommenderService(runs("blend"), tmp_path / "state", extra_runs=[tmp_path / "content_knn"], poll_seconds=0)


def test_a_damaged_run_is_logged_once(opened, runs, caplog, monkeypatch):
    monkeypatch.setattr("palate.serving.replication.RETRY_SECONDS", 0.05)
    service = opened(poll_seconds=0.01)
    before, known = service.snapshot.fingerprint, next(iter(service.snapshot.users))
    manifest = (service.run / "manifest.json").read_bytes()
    (service.run / "manifest.json").write_text("{}")
    assert wait(lambda: service.warnings())
    assert service.problem() is None, "every request is answered"
    time.sleep(0.3)
    assert caplog.text.count("could not be loaded") == 1 and len(caplog.text) < 5000
    assert (
        service.snapshot.fingerprint == before and service.recommend(RecommendRequest(5, user=known)).fallback is None
    )
    (service.run / "manifest.json").write_bytes(manifest)
    assert wait(lambda: not service.warnings())


def test_a_secret_is_whole_or_refused(tmp_path):
    file = tmp_path / "secret"
    secret = read_secret(file)
    assert len(secret) == 32 and read_secret(file) == secret and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    file.chmod(0o644)
    assert read_secret(file) == secret and stat.S_IMODE(file.stat().st_mode) == 0o600
    for content in (b"", b"short", secret[:31]):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=f"has {len(content)} bytes"):
            read_secret(file)


def test_a_full_disk_leaves_no_half_of_a_secret(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("palate.serving.secret.os.fsync", full)
        with pytest.raises(ConfigError, match="No space left"):
            read_secret(tmp_path / "secret")
    assert not list(tmp_path.iterdir())
    assert len(read_secret(tmp_path / "secret")) == 32


def test_an_item_that_comes_back_keeps_no_image(opened, world):
    service, other = opened(), opened()
    column = palate.load(world).items.frame["image"]
    picture = (world / column.drop_nulls()[0]).read_bytes()
    own = service.snapshot.ids[int(column.is_not_null().arg_true()[0])]
    service.put_items([("new", {"title": "Lamp"}, picture)])
    other.replication.apply_log()
    for item in ("new", own):
        service.remove_item(item)
        other.replication.sync_removals()
        other.replication.apply_log()
        service.put_items([(item, {"title": "Vase"}, None)])
        other.replication.apply_log()
        for one in (service, other):
            row = one.snapshot.require_row(item)
            assert row not in one.snapshot.images and one.snapshot.items.frame["image"][row] is None
            assert not one.snapshot.features["image"].present[row]


def test_hidden_items_are_in_no_list(opened):
    service = opened()
    first, second = service.snapshot.ids[:2]
    near = ids(service.similar_items(first, 3))
    service.log_events([Event("ada", near[0], "hide"), Event("ada", second, "like")])
    assert near[0] in ids(service.similar_items(first, 80))
    assert near[0] not in ids(service.similar_items(first, 80, hidden_for="ada"))
    for query in ({"user": "ada"}, {"user": "ada", "text": "lamp"}, {"hidden_for": "ada", "text": "lamp"}):
        for more in ({}, {"include_seen": True}):
            assert near[0] not in ids(service.recommend(RecommendRequest(80, **query, **more)))
    assert near[0] not in ids(service.recommend(RecommendRequest(80, similar_to=first, hidden_for="ada")))
    service.log_events([Event("ada", near[0], "unhide")])
    assert near[0] in ids(service.similar_items(first, 80, hidden_for="ada"))


KINDS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["click", "like", "unlike", "hide", "unhide"])), max_size=12
)


class Rows:
    """The part of a snapshot that states are made of."""

    def __init__(self, seen):
        self.deployment = self
        self.seen = [np.array(seen, np.int64)]

    def row(self, item):
        return int(item)


@settings(max_examples=200)
@given(KINDS, st.lists(st.integers(0, 3), unique=True, max_size=3))
def test_states_are_those_of_the_last_word_on_each_item(events, seen):
    state = known_user(Rows(seen), 0, [Event("u", str(item), kind) for item, kind in events])
    for item in range(4):
        kinds = [kind for other, kind in events if other == item]
        after_unlike = kinds[len(kinds) - kinds[::-1].index("unlike") :] if "unlike" in kinds else kinds
        hides = [kind for kind in kinds if kind != "unlike"]
        hidden = bool(hides) and hides[-1] == "hide"
        taken = bool({"click", "like"} & set(after_unlike)) or (item in seen and "unlike" not in kinds)
        assert (item in state.hidden) == hidden
        assert (item in state.history) == (taken and not hidden)
        assert (item in state.liked) == ("like" in after_unlike and not hidden)
    assert state.has_new_events == (state.history.tolist() != seen)
    assert len(set(state.history)) == len(state.history)
    assert not set(state.clicked.tolist()) & set(state.liked.tolist()), "a click is not called a like"


def test_undo_gives_the_list_from_before(opened):
    service = opened()
    for known in list(service.snapshot.users)[:2]:
        plain = ids(service.recommend(RecommendRequest(10, user=known)))
        for kind in ("like", "hide"):
            service.log_events([Event(known, plain[0], kind)])
            assert plain[0] not in ids(service.recommend(RecommendRequest(10, user=known)))
            service.log_events([Event(known, plain[0], f"un{kind}")])
            assert ids(service.recommend(RecommendRequest(10, user=known))) == plain


def test_a_late_list_is_the_last_one(opened, monkeypatch, caplog):
    service = opened()
    seen = []
    service.on_response = seen.append
    known, other = list(service.snapshot.users)[:2]
    plain = ids(service.recommend(RecommendRequest(10, user=known)))

    def late(*given):
        raise TimeoutError

    match = service.recommender.pipeline.stages[0]
    monkeypatch.setattr(match, "run", late)
    response = service.recommend(RecommendRequest(10, user=known, include_reasons=True))
    assert (
        ids(response) == plain and (response.source, response.fallback) == ("cached", "late") and response.is_personal
    )
    service.log_events([Event(known, plain[0], "hide")])
    service.remove_item(plain[1])
    assert ids(service.recommend(RecommendRequest(3, user=known))) == plain[2:5]
    nobody = service.recommend(RecommendRequest(10, user=other))
    assert (nobody.source, nobody.fallback) == ("popular", "late") and not nobody.is_personal
    service.erase_user(known)
    assert not len(service.recommender.pipeline.last_lists)
    assert service.recommend(RecommendRequest(10, user=known)).source == "popular"
    assert caplog.text.count("was late") == 1 and len(seen) == 5


def test_a_model_without_histories_says_whom_it_does_not_know(opened, runs):
    service = opened("vectors")
    service.log_events([Event("ada", service.snapshot.ids[0], "like")])
    if not service.snapshot.models["main"].new_users:
        assert service.recommend(RecommendRequest(5, user="ada")).fallback == "unknown_to_model"


def test_a_damaged_run_is_still_refused_at_the_start(runs, tmp_path):
    run = shutil.copytree(runs("knn"), tmp_path / "run")
    (run / "manifest.json").write_text("{}")
    with pytest.raises((ArtefactError, ConfigError, KeyError)):
        RecommenderService(run, tmp_path / "state", poll_seconds=0)


class _Count:
    """Counts the calls of a function."""

    def __init__(self, call):
        self.call, self.number = call, 0

    def __call__(self, *given):
        self.number += 1
        return self.call(*given)


def test_no_request_waits_for_what_is_loaded_once(opened, runs, monkeypatch):
    """Neither after the start, nor after an item is added, nor after another run has taken over."""
    import palate.serving.item_similarity as module

    counted = _Count(module._baseline)
    monkeypatch.setattr(module, "_baseline", counted)
    service = opened(poll_seconds=0.02)
    known = next(iter(service.snapshot.users))

    def ask():
        item = ids(service.recommend(RecommendRequest(3, user=known)))[0]
        service.similar_items(item, 3)
        service.recommend(RecommendRequest(3, text=service.snapshot.stats.titles[0]))

    service.warm_up()
    assert counted.number == 1
    ask()
    service.put_items([("new", {"title": "Umberly lamp", "category": "lighting"}, None)])
    ask()
    assert counted.number == 1, "it is that of the run"
    before = service.snapshot.fingerprint
    swap(service, runs("blend"))
    assert wait(lambda: service.snapshot.fingerprint != before)
    assert counted.number == 2, "before it has taken over"
    ask()
    assert counted.number == 2


def test_images_of_removed_items_go(opened, world, monkeypatch):
    service = opened()
    pictures = [world / name for name in palate.load(world).items.frame["image"].drop_nulls()[:3]]
    first, second, third = (path.read_bytes() for path in pictures)
    service.put_items([("one", {"title": "One"}, first), ("two", {"title": "Two"}, second)])
    service.put_items([("also one", {"title": "Also one"}, first)])
    files = sorted(path.name for path in service.images.iterdir())
    assert len(files) == 2 and {f"{image}.jpg" for image in service.catalog_log.images()} == set(files)

    def sweep():
        monkeypatch.setattr(service.catalog, "_next_sweep", 0.0)
        service.catalog.sweep()
        return len(list(service.images.iterdir()))

    service.remove_item("one")
    service.remove_item("two")
    assert sweep() == 2, "an image that was stored a moment ago may belong to an item on its way"
    for path in service.images.iterdir():
        os.utime(path, (0, 0))
    assert sweep() == 1, "another item has the first one"
    service.put_items([("also one", {}, third)])
    for path in service.images.iterdir():
        os.utime(path, (0, 0))
    assert sweep() == 1, "it got another image"
    service.put_items([("two", {"title": "Two"}, second)])
    assert len(list(service.images.iterdir())) == 2 and sweep() == 2
    again = opened()
    assert sorted(again.snapshot.images.values()) == sorted(service.images.iterdir())


@pytest.mark.parametrize("name", ["knn", "vectors", "mmr", "blend"])
def test_warming_up_any_run_is_quiet(opened, name, caplog):
    opened(name).warm_up()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_items_that_come_and_go_leave_no_file_open(opened, world):
    service, process = opened(), psutil.Process()
    picture = (world / palate.load(world).items.frame["image"].drop_nulls()[0]).read_bytes()

    def come_and_go(number):
        for at in range(number):
            service.put_items([(f"new-{number}-{at}", {"title": f"Novel lamp {number} {at}"}, picture)])
            service.remove_item(f"new-{number}-{at}")

    come_and_go(2)
    before = process.num_fds()
    come_and_go(8)
    assert process.num_fds() <= before + 1
    assert len(list(service.images.iterdir())) == 1 and len(service.replication._removals) <= 1


def test_a_run_of_another_version_of_an_encoder_is_served(opened, runs, tmp_path, caplog):
    service = opened("knn")
    folder = next(path for path in (service.snapshot.run / "encoders").iterdir() if (path / "encoder.json").is_file())
    facts = read_json(folder / "encoder.json")
    before = ids(service.recommend(RecommendRequest(5, user=next(iter(service.snapshot.users)))))
    service.close()
    run = shutil.copytree(runs("knn"), tmp_path / "older")
    write_json(run / "encoders" / folder.name / "encoder.json", facts | {"identity": "another@0"})
    manifest = read_json(run / "manifest.json")
    digests = {name: found for name, found in folder_digests(run).items() if name != "manifest.json"}
    write_json(run / "manifest.json", manifest | {"files": digests})
    older = opened(run, state="older-shop")
    older.warm_up()
    assert "items cannot be added" in caplog.text and "fit again" in caplog.text
    assert ids(older.recommend(RecommendRequest(5, user=next(iter(older.snapshot.users))))) == before
