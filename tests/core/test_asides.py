"""What a killed writer leaves aside: told apart exactly, mended between the renames, removed otherwise."""

import os
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.asides import OLD_PREFIX, TEMP_PREFIX, aside_of, asides, mend, old_of, parse, sweep_leftovers
from palate.core.errors import ArtefactError
from palate.core.files import atomic_folder
from palate.core.locks import lock_file, locked

ID = "0123456789abcdef0123456789abcdef"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leave(folder, kind, name, text="x", number=ID):
    """A folder as a killed writer leaves it."""
    prefix = {"tmp": TEMP_PREFIX, "old": OLD_PREFIX}[kind]
    path = folder / f"{prefix}{number}-{name}"
    path.mkdir(parents=True)
    (path / "content").write_text(text)
    return path


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(NAMES.filter(lambda name: name not in (".", "..")))
def test_a_name_is_told_apart_exactly(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    aside = aside_of(folder / name)
    assert parse(aside).name == parse(old_of(aside)).name == name
    assert (parse(aside).kind, parse(old_of(aside)).kind) == ("tmp", "old")
    assert parse(aside).number == parse(old_of(aside)).number


@pytest.mark.parametrize("name", ["run", ".palate-tmp-x-run", f"palate-tmp-{ID}-run", f"{TEMP_PREFIX}{ID}", ".hidden"])
def test_other_names_are_nobodys_leftovers(tmp_path, name):
    (tmp_path / name).write_text("keep")
    assert parse(tmp_path / name) is None
    sweep_leftovers(tmp_path)
    assert names(tmp_path) == [name]


def test_a_writer_of_a_leaves_the_one_of_b_a_alone(tmp_path):
    with atomic_folder(tmp_path / "b-a") as other:
        (other / "content").write_text("half")
        with atomic_folder(tmp_path / "a") as aside:
            (aside / "content").write_text("whole")
        assert (other / "content").read_text() == "half"
    assert names(tmp_path) == ["a", "b-a"]


def test_killed_between_the_renames_the_new_folder_takes_its_place(tmp_path):
    leave(tmp_path, "old", "run", "before")
    leave(tmp_path, "tmp", "run", "after")
    leave(tmp_path, "tmp", "run", "half", number=uuid.uuid4().hex)
    leave(tmp_path, "old", "b-run", "of another")
    mend(tmp_path / "run")
    assert (tmp_path / "run" / "content").read_text() == "after"
    assert names(tmp_path) == [f"{OLD_PREFIX}{ID}-b-run", "run"]


def test_an_old_folder_without_a_new_one_is_put_back(tmp_path):
    leave(tmp_path, "old", "run", "before")
    mend(tmp_path / "run")
    assert (tmp_path / "run" / "content").read_text() == "before" and names(tmp_path) == ["run"]


def test_killed_after_the_renames_the_old_folder_goes(tmp_path):
    (tmp_path / "run").mkdir()
    leave(tmp_path, "old", "run", "holds a user")
    mend(tmp_path / "run")
    assert names(tmp_path) == ["run"]


def test_what_a_living_writer_has_aside_stays(tmp_path):
    code = (
        "import sys; from palate.core.files import atomic_folder\n"
        "with atomic_folder(sys.argv[1]) as aside:\n"
        "    (aside / 'content').write_text('x'); print('writing', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    with pytest.raises(ArtefactError, match="another process"):
        mend(tmp_path / "run")
    with pytest.raises(ArtefactError, match="another process"), atomic_folder(tmp_path / "run", wait=0.0):
        pass
    assert len(asides(tmp_path, "run")) == 1
    writer.communicate("")
    assert writer.returncode == 0 and names(tmp_path) == ["run"]


def test_the_writer_of_a_link_replaces_its_target(tmp_path):
    with atomic_folder(tmp_path / "real") as aside:
        (aside / "content").write_text("1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_folder(tmp_path / "link") as aside:
        (aside / "content").write_text("2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "content").read_text() == "2"
    assert names(tmp_path) == ["link", "real"]


def test_a_lock_is_had_again_by_its_thread_and_leaves_nothing(tmp_path):
    with locked(tmp_path / "run"), locked(tmp_path / "run", wait=0.0):
        assert lock_file(tmp_path / "run").exists()
    assert names(tmp_path) == []


def test_a_lock_file_of_a_killed_process_locks_nothing(tmp_path):
    lock_file(tmp_path / "run").write_text("")
    with locked(tmp_path / "run", wait=0.0):
        pass
    assert names(tmp_path) == []


def test_without_locks_of_the_file_system_a_file_names_the_writer(tmp_path, monkeypatch, caplog):
    import filelock

    def no_locks(self, *args, **kwargs):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(filelock.UnixFileLock, "_acquire", no_locks)
    with locked(tmp_path / "run", wait=0.0):
        owner = tmp_path / ".run.lock.owner"
        assert str(os.getpid()) in owner.read_text()
        code = "import sys; from filelock import SoftFileLock; SoftFileLock(sys.argv[1], timeout=0).acquire()"
        other = subprocess.run([sys.executable, "-c", code, owner], capture_output=True, text=True)
        assert "Timeout" in other.stderr
    assert not owner.exists() and "has no locks" in caplog.text


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(ArtefactError, match="cannot be written"), atomic_folder(target):
            pass
    assert names(tmp_path) == ["file"]
