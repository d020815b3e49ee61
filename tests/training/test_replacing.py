"""A run takes the place of the same fit only; users' folders never change; one writer a run; readers see one state."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import palate
from palate.contracts import pretrainers
from palate.core.asides import asides
from palate.core.errors import ArtefactError, PalateError
from palate.core.files import read_json
from palate.core.locks import locked
from palate.core.output import MARK
from palate.data.load import write
from palate.evaluation.export import export_model
from palate.evaluation.runs import run_add, run_evaluate, run_fit
from palate.features.plan import plan_content
from palate.simulation.world import World
from palate.training.erase import erase_user
from palate.training.pretrain import pretrain
from palate.training.replacing import checkpoint_of
from palate.training.saving import save
from palate.training.tune import tune


def shop(n_users=9, seed=0, split="random"):
    rng = np.random.default_rng(seed)
    pairs = [(f"u{user}", f"i{item}") for user in range(n_users) for item in rng.permutation(12)[:5]]
    items = pl.DataFrame({"item": [f"i{row}" for row in range(12)], "kind": ["a", "b", "c"] * 4})
    return palate.Dataset.from_frames(items, pl.DataFrame(pairs, schema=["user", "item"], orient="row"), split=split)


DATA = shop()
TITLES = [f"red lamp number {row} made of old oak wood" for row in range(30)]
TITLED = palate.Dataset.from_frames(
    pl.DataFrame({"item": [f"i{row}" for row in range(30)], "title": TITLES, "brand": ["a", "b", "c"] * 10}),
    pl.DataFrame({"user": [f"u{row % 7}" for row in range(60)], "item": [f"i{row % 30}" for row in range(60)]}),
    split="random",
)


@pytest.fixture(scope="module")
def model():
    return palate.models.ContentKNN().fit(DATA)


@pytest.fixture
def run(model, tmp_path):
    return model.save(tmp_path / "runs" / "run")


@pytest.fixture
def table(tmp_path):
    """``table("x")``: a file with one new item."""

    def make(name):
        file = tmp_path / f"{name}.csv"
        pl.DataFrame({"item": [name], "kind": ["a"]}).write_csv(file)
        return file

    return make


def items_of(run):
    return palate.restore(run).deployment.items.ids.ids.to_list()


def users_of(run):
    return palate.restore(run).deployment.users.ids.to_list()


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


def test_the_same_fit_replaces_itself_and_keeps_what_is_not_ours(model, run):
    (run / "notes").mkdir()
    (run / "notes" / "mine.txt").write_text("mine")
    palate.models.ContentKNN().fit(DATA).save(run)
    assert (run / "notes" / "mine.txt").read_text() == "mine"
    assert run_evaluate(str(run), lambda given: DATA)["openings_of_test"] == 1
    model.save(run)
    assert read_json(run / "manifest.json")["openings_of_test"] == 1


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: palate.models.Popularity().fit(DATA), "of content_knn, not popularity"),
        (lambda: palate.models.ContentKNN(grid=(0.5, 1.0)).fit(DATA), "with other settings"),
        (lambda: palate.models.ContentKNN().fit(shop(seed=1)), "of other data"),
        (lambda: palate.models.ContentKNN().fit(shop(split="random:seed=4")), "of the split"),
        (lambda: palate.models.ContentKNN().fit(DATA, seed=5), "of seed 0, not 5"),
    ],
)
def test_another_run_is_replaced_only_when_told_to(run, other, told):
    before, new = content(run), other()
    with pytest.raises(ArtefactError, match=told) as caught:
        new.save(run)
    assert "--overwrite" in str(caught.value) and content(run) == before
    (run / "mine.txt").write_text("mine")
    new.save(run, overwrite=True)
    assert palate.restore(run).name == new.name and (run / "mine.txt").read_text() == "mine"


def test_what_was_added_or_erased_is_not_undone_unasked(model, run, table):
    run_add(run, table("new"))
    with pytest.raises(ArtefactError, match="holds 1 items that were added"):
        model.save(run)
    assert "new" in items_of(run)
    model.save(run, overwrite=True)
    erase_user(run, "u3")
    with pytest.raises(ArtefactError, match="users were erased"):
        model.save(run)
    palate.restore(run).save(run)
    assert "u3" not in users_of(run) and read_json(run / "manifest.json")["erased"] == [3]


def test_a_fit_is_refused_before_it_trains(run, table, monkeypatch):
    options = {"content": plan_content(DATA), "baselines": False, "test": False}
    monkeypatch.setattr("palate.evaluation.runs.fit_one", lambda *_: pytest.fail("it was fitted"))
    with pytest.raises(ArtefactError, match="of content_knn, not ease"):
        run_fit(DATA, "ease", run, **options)
    run_add(run, table("new"))
    with pytest.raises(ArtefactError, match="items that were added"):
        run_fit(DATA, "content_knn", run, **options)
    with locked(checkpoint_of(run.parent / "new")):
        caught = []

        def second():
            with pytest.raises(ArtefactError, match="another process is writing it") as error:
                run_fit(DATA, "content_knn", run.parent / "new", **options)
            caught.append(error.value.file)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert caught == [str(run.parent / "new")]


def test_a_fit_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("palate.evaluation.runs.fit_one", lambda *_: ({}).fitted)
    with pytest.raises(AttributeError):
        run_fit(DATA, "popularity", tmp_path / "run", content=plan_content(DATA))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """A cache in which no test part was opened yet."""
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_the_same_fit_again_counts_its_opening(tmp_path, own_cache):
    for count in (1, 2):
        run_fit(DATA, "popularity", tmp_path / "run", content=plan_content(DATA), baselines=False)
        assert read_json(tmp_path / "run" / "manifest.json")["openings_of_test"] == count
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_another_model_on_the_same_test_part_counts_its_openings_on(tmp_path, own_cache):
    for name in ("popularity", "ease"):
        run_fit(DATA, name, tmp_path / "run", content=plan_content(DATA), baselines=False, overwrite=True)
    assert read_json(tmp_path / "run" / "manifest.json")["openings_of_test"] == 2
    other = shop(seed=1)
    run_fit(other, "ease", tmp_path / "run", content=plan_content(other), baselines=False, overwrite=True)
    assert read_json(tmp_path / "run" / "manifest.json")["openings_of_test"] == 1


def test_encoders_that_were_learnt_otherwise_are_replaced_only_when_told_to(tmp_path):
    def learn(seed, **options):
        return pretrain(pretrainers.get("attribute_ridge")(), TITLED, tmp_path / "taught", seed=seed, **options)

    learn(0)
    (tmp_path / "taught" / "mine.txt").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(ArtefactError, match="encoders of another seed"):
        learn(1)
    assert content(tmp_path) == before
    learn(0)
    learn(1, overwrite=True)
    assert read_json(tmp_path / "taught" / "pretrained.json")["seed"] == 1
    assert (tmp_path / "taught" / "mine.txt").read_text() == "mine"


def test_the_best_of_another_search_is_replaced_only_when_told_to(tmp_path):
    pytest.importorskip("optuna")

    def search(space, trials=1, **options):
        return tune(DATA, "ease", trials, {"l2": space}, 0, tmp_path / "search", plan_content(DATA), **options)

    search("10,20")
    search("10,20", trials=2)
    with pytest.raises(ArtefactError, match="another search"):
        search("10,30")
    search("10,30", overwrite=True)
    assert len((tmp_path / "search" / "trials.jsonl").read_text().splitlines()) == 3


def test_add_through_a_link_changes_its_target(run, table):
    link = run.parent / "current"
    link.symlink_to(run)
    run_add(link, table("new"))
    assert link.is_symlink() and "new" in items_of(run)
    assert sorted(path.name for path in run.parent.iterdir()) == ["current", "run"]


def test_all_files_of_a_run_have_the_mode_that_the_umask_says(model, tmp_path):
    before = os.umask(0o027)
    try:
        run = model.save(tmp_path / "run")
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in run.rglob("*") if path.is_file()} == {"0o640"}
    assert {oct(path.stat().st_mode & 0o777) for path in (run, *run.rglob("*")) if path.is_dir()} == {"0o750"}


def test_no_copy_of_a_forgotten_user_stays_beside_the_run(run):
    shutil.copytree(run, run.parent / f".palate-old-{'a' * 32}-run")
    shutil.copytree(run, run.parent / f".palate-tmp-{'b' * 32}-run")
    checkpoint_of(run).mkdir()
    (checkpoint_of(run) / "select.safetensors").write_bytes(b"vectors of u3")
    assert erase_user(run, "u3")
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


def test_a_run_that_was_killed_between_the_renames_opens(run):
    number = "c" * 32
    shutil.copytree(run, run.parent / f".palate-old-{number}-run")
    run.rename(run.parent / f".palate-tmp-{number}-run")
    assert palate.restore(run).name == "content_knn"
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


DIE = """
import os, pathlib, signal, sys
from palate.core import files
from palate.core.asides import OLD_PREFIX
from palate.evaluation.runs import run_add
from palate.training.erase import erase_user
from palate.training.saving import restore, save

replace = os.replace

def replace_and_die(source, target):
    replace(source, target)
    if pathlib.Path(target).name.startswith(OLD_PREFIX):
        os.kill(os.getpid(), signal.SIGKILL)

table, add, forget, again = sys.argv[1:]
files.os.replace = replace_and_die
for change in (lambda: run_add(add, table), lambda: erase_user(forget, "u3"), lambda: save(restore(again), again)):
    process = os.fork()
    if process == 0:
        change()
        os._exit(1)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL
"""


def test_a_change_that_is_killed_between_the_renames_is_finished(model, table, tmp_path):
    runs = {name: model.save(tmp_path / name / "run") for name in ("add", "forget", "save")}
    subprocess.run([sys.executable, "-c", DIE, table("new"), *runs.values()], check=True)
    for run in runs.values():
        assert not run.exists() and len(asides(run.parent, "run")) == 2
    assert "new" in items_of(runs["add"]) and "u3" not in users_of(runs["forget"])
    assert len(items_of(runs["save"])) == 12
    for run in runs.values():
        assert not asides(run.parent)


def test_a_fit_with_another_name_leaves_the_writer_of_a_longer_one_alone(model, run):
    aside = run.parent / f".palate-tmp-{'d' * 32}-my-run"
    aside.mkdir()
    model.save(run)
    assert aside.is_dir()


def test_writers_lose_nothing(run, table):
    """Each thread has a lock of its own, as a process has."""
    files = [table(f"new{number}") for number in range(6)]
    tasks = [lambda file=file: run_add(run, file) for file in files] + [lambda: erase_user(run, "u4")]
    writers = [threading.Thread(target=task) for task in tasks]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {file.stem for file in files} <= set(items_of(run))
    manifest = read_json(run / "manifest.json")
    assert manifest["added_items"] == 6 and manifest["erased"] == [4] and "u4" not in users_of(run)
    assert not asides(run.parent)


def test_readers_beside_a_writer_see_one_state_or_the_other(model, run):
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(len(palate.restore(run).deployment.items))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(15):
            model.save(run, overwrite=True)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert seen and set(seen) == {12}


WORLD = World.make(n_items=48, n_users=5, media=False)
WRITERS = {
    "save": lambda model, out: model.save(out),
    "save over": lambda model, out: model.save(out, overwrite=True),
    "fit": lambda model, out: run_fit(
        DATA, "popularity", out, content=plan_content(DATA), baselines=False, test=False, overwrite=True
    ),
    "compare": lambda model, out: palate.compare(DATA, ["popularity"], out, seeds=(0,), overwrite=True),
    "world": lambda model, out: WORLD.write(out, overwrite=True),
    "export": lambda model, out: export_model(palate.models.BPR(dim=2, epochs=0).fit(DATA), out),
    "data": lambda model, out: write(DATA, out),
}
NAMES = st.sampled_from(
    ("items.csv", "thesis.txt", "manifest.json", "result.json", "world.json", "items.parquet", "model.safetensors")
)
DEEPER = st.sampled_from(("metrics.json", "cells/a", "items/ids.parquet", "media/1.jpg", "config.yaml", "a/b/c"))
TEXTS = st.sampled_from(["", "mine", "{}", '{"format": 1}', '{"kind": "run"}', '{"format": 1, "model": "ease"}', "[]"])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES | DEEPER, TEXTS, min_size=1, max_size=5), writer=st.sampled_from(sorted(WRITERS)))
def test_nothing_of_a_users_folder_changes(files, writer, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("user") / "results"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = content(folder.parent)
    with pytest.raises(PalateError):
        WRITERS[writer](model, folder)
    assert content(folder.parent) == before


def test_the_data_are_never_written_to(tmp_path, model):
    frame = pl.DataFrame({"item_id": [f"i{row}" for row in range(6)], "title": ["red lamp"] * 6})
    (tmp_path / "shop").mkdir()
    frame.write_csv(tmp_path / "shop" / "items.csv")
    log = pl.DataFrame(
        [(f"u{u}", f"i{i}") for u in range(4) for i in range(u, u + 3)], ["user_id", "item_id"], orient="row"
    )
    log.write_csv(tmp_path / "shop" / "interactions.csv")
    (tmp_path / "shop" / MARK).write_text('{"kind": "run"}')
    data, before = palate.load(tmp_path / "shop", split="random"), content(tmp_path)
    for out in (tmp_path / "shop", tmp_path):
        with pytest.raises(ArtefactError, match="the data"):
            run_fit(data, "popularity", out, content=plan_content(data), overwrite=True)
        with pytest.raises(ArtefactError, match="the data"):
            save(palate.models.Popularity().fit(data), out, overwrite=True)
        with pytest.raises(ArtefactError, match="the data"):
            palate.compare(data, ["popularity"], out, seeds=(0,))
    assert content(tmp_path) == before
