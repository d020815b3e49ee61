"""Faults at start are refused before a run is loaded; workers start, are replaced, and end with their supervisor."""

import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import ClassVar

import psutil
import pytest

pytest.importorskip("fastapi")

from palate.core.errors import ArtefactError, ConfigError
from palate.serving.api.app import Settings
from palate.serving.run import serve


@pytest.fixture
def started(runs, tmp_path, monkeypatch):
    """``started(**settings)``: serve without ever loading a run."""

    def never(*given, **options):
        raise AssertionError("the run is loaded")

    monkeypatch.setattr("palate.serving.service.RecommenderService.__init__", never)
    monkeypatch.setattr("palate.serving.network.workers.Workers.__init__", never)

    def start(run=None, host="127.0.0.1", port=0, workers=1, **settings):
        settings = {"state": str(tmp_path / "state"), **settings}
        serve(Settings(str(run or runs("knn")), **settings), host, port, workers)

    return start


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "settings, told",
    [
        ({"keys": "missing"}, "cannot be read"),
        ({"keys": "folder"}, "not a file"),
        ({"keys": "pipe"}, "not a file"),
        ({"keys": "binary"}, "UTF-8"),
        ({"keys": "empty"}, "no key"),
        ({"run": "folder"}, "not a run"),
        ({"extra_runs": ("missing",)}, "not a run"),
        ({"extra_runs": ("one/other", "two/other")}, "the name 'other'"),
        ({"extra_runs": ("one/main",)}, "the name 'main'"),
        ({"events": "nonsense"}, "database URL"),
        ({"events": "mysql://root@localhost/shop"}, "SQLite or PostgreSQL"),
        ({"state": "binary"}, "state folder"),
        ({"state": "binary/below"}, "state folder"),
        ({"host": "256.1.1.1", "keys": "good"}, "cannot listen"),
        ({"host": "no such host", "keys": "good"}, "cannot listen"),
        ({"host": "x" * 300, "keys": "good"}, "cannot listen"),
        ({"host": "0.0.0.0"}, "--keys"),
        ({"port": 99_999}, "cannot listen"),
        ({"port": "taken"}, "cannot listen"),
        ({"cors": ("shop.example",)}, "not an origin"),
        ({"cors": ("https://shop.example/",)}, "not an origin"),
        ({"host_names": ("http://shop.example",)}, "not a host name"),
        ({"proxies": ("everyone",)}, "not an IP address"),
        ({"index_url": "localhost:6333"}, "--index"),
    ],
)
def test_a_fault_is_refused_before_the_run_is_loaded(started, runs, tmp_path, settings, told, workers):
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("# nobody\n")
    (tmp_path / "good").write_text("manage-0123456789abcdef\n")
    os.mkfifo(tmp_path / "pipe")
    for name in ("one/other", "two/other", "one/main"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(runs("knn"))
    for option in {"keys", "run", "state"} & set(settings):
        settings = {**settings, option: str(tmp_path / settings[option])}
    if "extra_runs" in settings:
        settings = {**settings, "extra_runs": tuple(str(tmp_path / name) for name in settings["extra_runs"])}
    with contextlib.ExitStack() as stack:
        if settings.get("port") == "taken":
            other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            settings = {**settings, "port": other.getsockname()[1]}
        with pytest.raises((ConfigError, ArtefactError), match=told):
            started(workers=workers, **settings)


def test_settings_without_a_fault_load_the_run(started):
    with pytest.raises(AssertionError, match="loaded"):
        started()


@contextlib.contextmanager
def command(run, state, *options):
    """The process of ``palate serve``."""
    line = [sys.executable, "-m", "palate", "serve", str(run), "--state", str(state), "--port", "0", *options]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_workers_ignore_a_hangup_and_end_with_their_supervisor(runs, tmp_path):
    with command(runs("knn"), tmp_path / "state", "--workers", "2") as process:
        told = process.stdout.readline()
        url = re.search(r"^serves .* at (http://127\.0\.0\.1:\d+/), state in", told)[1]
        assert urllib.request.urlopen(url + "healthz", timeout=20).status == 200, "it listens once it says so"
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None and all(child.is_running() for child in children)
        assert urllib.request.urlopen(url + "healthz", timeout=20).status == 200
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive


class FakeProcess:
    """A worker process whose fate a test decides; the last one made is at the end of ``made``."""

    made: ClassVar[list] = []

    def __init__(self, config=None, sockets=None):
        self.process, self.alive, self.ready = self, True, False
        self.made.append(self)

    def is_alive(self):
        return self.alive

    def is_ready(self, timeout):
        return self.ready

    def start(self):
        pass

    kill = join = terminate = start


@pytest.fixture
def supervisor(monkeypatch):
    """``supervisor()``: workers with two fake processes; ``clock`` is their time, ``told`` what was announced."""
    from palate.serving.network import workers

    monkeypatch.setattr(workers, "Process", FakeProcess)
    monkeypatch.setattr(workers, "bind_socket", lambda *given, **options: socket.socket())
    monkeypatch.setattr(workers.Multiprocess, "init_processes", lambda self: None)
    monkeypatch.setattr(workers.Multiprocess, "__init__", _plain_init)
    made = workers.Workers(None, "127.0.0.1", 0, lambda: made.told.append("ready"))
    made.told, made.clock = [], 1000.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: made.clock)
    FakeProcess.made.clear()
    made.processes = [FakeProcess(), FakeProcess()]
    return made


def _plain_init(self, config, sockets):
    self.config, self.should_exit, self.signal_queue = config, threading.Event(), []


def test_workers_that_cannot_start_are_not_started_again(supervisor):
    supervisor.keep_subprocess_alive()
    assert not supervisor.told and not supervisor.should_exit.is_set(), "they load"
    FakeProcess.made[1].alive = False
    with pytest.raises(ConfigError, match="no worker process could start"):
        supervisor.run()
    assert len(FakeProcess.made) == 2 and not supervisor.told


def test_a_worker_that_died_or_hangs_is_replaced_after_a_growing_pause(supervisor):
    first, second = FakeProcess.made
    first.ready = second.ready = True
    supervisor.keep_subprocess_alive()
    supervisor.keep_subprocess_alive()
    assert supervisor.told == ["ready"]
    starts = []
    second.alive = False
    for _ in range(1000):
        supervisor.keep_subprocess_alive()
        if len(FakeProcess.made) > 2 + len(starts):
            starts.append(supervisor.clock)
            FakeProcess.made[-1].alive = False
        supervisor.clock += 0.5
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 32] and set(pauses[6:]) == {60}
    FakeProcess.made[-1].alive = FakeProcess.made[-1].ready = True
    first.ready = False
    supervisor.clock += 120
    supervisor.keep_subprocess_alive()
    assert supervisor.processes[0] is not first and not supervisor.should_exit.is_set()


def test_a_worker_that_cannot_load_its_run_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    from palate.serving import run

    monkeypatch.setenv(run.SETTINGS, json.dumps(dataclasses.asdict(Settings(str(tmp_path), str(tmp_path / "state")))))

    def damaged(settings):
        raise ArtefactError("damaged\nrun", file=settings.run)

    monkeypatch.setattr("palate.serving.api.app.create_app", damaged)
    monkeypatch.setattr(run.sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr(run, "_ignore_hangup", lambda: None)
    monkeypatch.setattr("palate.serving.network.workers.end_with_supervisor", lambda: None)
    with pytest.raises(ArtefactError):
        run.worker()
    monkeypatch.setattr(run.multiprocessing, "parent_process", lambda: object())
    with pytest.raises(SystemExit, match=str(run.STARTUP_FAILURE)):
        run.worker()
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
