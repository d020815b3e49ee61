"""Other processes: the same bits, two of them as one, and none that a SIGKILL can harm."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_data import BLEND, bits, learn

import palate

HERE = Path(__file__).resolve().parent
KILLS = int(os.environ.get("PALATE_KILLS", "8"))


def start(*arguments: str, **extra: str) -> subprocess.Popen:
    source = str(HERE.parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "PALATE_PROGRESS": "quiet", **extra}
    return subprocess.Popen(
        [sys.executable, str(HERE / "small_data.py"), *arguments], env=environment, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()[-2000:]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_two_processes_train_as_one(tmp_path):
    port = free_port()
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        start("parallel", str(tmp_path / "two.npz"), RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in (0, 1)
    ]
    one = start("parallel", str(tmp_path / "one.npz"))
    for process in (*both, one):
        finish(process)
    first, second = np.load(tmp_path / "one.npz"), np.load(tmp_path / "two.npz")
    np.testing.assert_allclose(second["losses"], first["losses"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(second["table"], first["table"], rtol=0, atol=1e-4)


def test_processes_that_begin_at_different_places_are_stopped(tmp_path):
    finish(start("learn", "bpr", str(tmp_path / "left"), str(tmp_path / "run")))
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    both = [
        start("learn", "bpr", str(tmp_path / folder), str(tmp_path / folder / "run"), RANK=str(rank), **shared)
        for rank, folder in enumerate(("left", "empty"))
    ]
    for process in both:
        _, errors = process.communicate(timeout=240)
        assert process.returncode and b"different data or checkpoints" in errors, errors.decode()[-2000:]


def test_another_process_gets_the_same_bits(tmp_path):
    finish(start("learn", "lightgcn", str(tmp_path / "c"), str(tmp_path / "run")))
    here = learn("lightgcn", None, epochs=30, patience=40)
    assert bits(palate.restore(tmp_path / "run")) == bits(here)


@pytest.mark.parametrize("name", ["lightgcn", "blend"])
def test_killed_at_random_moments_resumes_to_the_same_bits(name, tmp_path):
    """Kills fall on the time from the first write to a little before the end of an uninterrupted fit."""
    whole = bits(learn(name, None, **(BLEND if name == "blend" else {"epochs": 30, "patience": 40})))
    folder, run = tmp_path / "c", tmp_path / "run"
    draws = random.Random(7)
    landed = 0
    for _ in range(KILLS // 2):
        process = start("learn", name, str(folder), str(run))
        waited = time.monotonic()
        while not (folder / "started").exists() and process.poll() is None and time.monotonic() - waited < 120:
            time.sleep(0.01)
        time.sleep(draws.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        landed += process.wait() == -signal.SIGKILL
        process.stderr.close()
        (folder / "started").unlink(missing_ok=True)
        visible = [
            path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".palate-tmp-")
        ]
        assert all(name.endswith(".safetensors") for name in visible), visible
        if run.exists():
            assert bits(palate.restore(run)) == whole
    assert landed, "no kill fell into a fit"
    finish(start("learn", name, str(folder), str(run)))
    assert bits(palate.restore(run)) == whole
