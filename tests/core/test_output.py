"""Folders that may be written: new, empty or of the same kind; all others stay byte by byte as they are."""

import os
from pathlib import Path

import pytest

from palate.core.cache import cache_folder, vectors_folder
from palate.core.errors import ArtefactError
from palate.core.files import atomic_folder, write_json
from palate.core.output import check_not_protected, check_output, claimed, keep_others, kind_of, mark


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a project in which one works."""
    work = tmp_path / "home" / "ann" / "project"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "ann"))
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (".", "is the working folder"),
        ("", "is the working folder"),
        ("../project/.", "is the working folder"),
        ("..", "holds the working folder"),
        ("~", "the home folder|holds the working folder"),
        ("../..", "holds the (working|home) folder"),
        ("/", "holds the"),
        ("here", "is the working folder"),
        ("shop", "is the data"),
        ("shop/../shop", "is the data"),
        ("catalogue", "is the data"),
        ("stock", "holds the data"),
    ],
)
def test_folders_that_are_never_written(home, target, told):
    data = home.parents[2] / "stock" / "shop"
    data.mkdir(parents=True)
    (home / "stock").symlink_to(data.parent)
    (home / "here").symlink_to(home)
    (home / "catalogue").symlink_to(data)
    (home / "shop").symlink_to(data)
    with pytest.raises(ArtefactError, match=told):
        check_not_protected(os.path.expanduser(target), data)


def test_a_folder_inside_the_data_is_new(home):
    (home / "shop").mkdir()
    (home / "shop" / "items.csv").write_text("item_id\n1\n")
    check_output(home / "shop" / "run", "run", home / "shop")
    with pytest.raises(ArtefactError, match="is the data"):
        check_output(home / "shop", "run", home / "shop" / "items.csv")


@pytest.mark.parametrize("kind", ["run", "encoder", "world", "comparison", "search", "set of vectors"])
def test_somebody_elses_manifest_makes_no_folder_ours(home, kind):
    folder = home / "app"
    folder.mkdir()
    for name in ("manifest.json", "encoder.json", "world.json", "result.json", "best.json", "pretrained.json"):
        write_json(folder / name, {"name": "my app", "format": "es6", "version": 1, "settings": {}, "model": "T"})
    with pytest.raises(ArtefactError, match=f"is not empty and not an? {kind}") as caught:
        check_output(folder, kind)
    assert caught.value.file == str(folder) and "nothing was changed" in str(caught.value)


def test_a_folder_of_another_kind_is_named(home):
    with claimed("results", "comparison") as folder:
        assert kind_of(folder) == "comparison"
    with pytest.raises(ArtefactError, match="is a comparison, not a search"), claimed("results", "search"):
        pass
    with claimed("results", "comparison"):
        pass


def test_two_processes_do_not_write_one_folder(home):
    import subprocess
    import sys

    code = "from palate.core.output import claimed\nwith claimed('results', 'comparison'): print('in')"
    with claimed("results", "comparison"):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert other.returncode == 1 and "another process is writing it" in other.stderr
    assert not list(home.glob(".results*"))


def test_a_file_and_an_impossible_name_are_refused(home):
    (home / "file").write_text("x")
    for target, told in (("file", "is a file"), ("x" * 300, "cannot be used"), ("a\0b", "cannot be used")):
        with pytest.raises(ArtefactError, match=told):
            check_output(target, "run")


def test_a_mount_point_cannot_be_replaced_and_is_refused_before_any_work(home, monkeypatch):
    (home / "volume").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "volume")
    with pytest.raises(ArtefactError, match="mount point"):
        check_output("volume", "run")
    check_output("volume/run", "run")
    check_output("volume", "comparison")


def replaced(folder, name):
    with atomic_folder(folder) as aside:
        (aside / "media").mkdir()
        (aside / "media" / name).write_text("ours")
        mark(aside, "world")
        keep_others(Path(folder), aside)


def test_what_others_put_into_a_folder_of_ours_stays(home):
    folder = home / "world"
    replaced(folder, "1.jpg")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("mine")
    (folder / "media" / "mine.jpg").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("/nowhere")
    replaced(folder, "2.jpg")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert found == [".palate.json", "empty", "link", "media", "media/2.jpg", "media/mine.jpg", "notes", "notes/a.txt"]
    assert (folder / "media" / "mine.jpg").read_text() == "mine" and (folder / "link").is_symlink()


def test_a_file_of_others_with_a_name_of_ours_is_named(home):
    folder = home / "world"
    replaced(folder, "1.jpg")
    (folder / "media" / "2.jpg").write_text("mine")
    with pytest.raises(ArtefactError, match="did not write") as caught:
        replaced(folder, "2.jpg")
    assert caught.value.file.endswith("media/2.jpg")
    assert (folder / "media" / "2.jpg").read_text() == "mine" and (folder / "media" / "1.jpg").exists()
    assert sorted(path.name for path in home.iterdir()) == ["world"]


def test_vectors_are_kept_in_the_cache_and_by_data(home, monkeypatch):
    assert str(cache_folder()) == os.environ["PALATE_CACHE"]
    monkeypatch.setenv("PALATE_CACHE", "elsewhere")
    assert cache_folder() == home / "elsewhere"
    (home / "a").mkdir()
    (home / "link").symlink_to("a")
    assert vectors_folder("a") == vectors_folder(home / "link") != vectors_folder("b")
    assert vectors_folder("a").parent == home / "elsewhere" / "vectors"


@pytest.mark.parametrize("folder", ["~", "~/run", "~nobody/run"])
def test_a_tilde_that_no_shell_replaced_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="~ was not replaced") as caught:
        check_not_protected(folder)
    assert "./~" in caught.value.hint and not any(tmp_path.iterdir())
    check_not_protected(f"./{folder}")
