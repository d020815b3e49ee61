"""One command in two processes: one of them prints and writes, and what is learnt is what one would learn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import palate
from palate.core.errors import ConfigError
from palate.core.files import read_json, read_tensors

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
MODEL = ("--model", "lightgcn", "--set", "epochs=3", "--set", "dim=8", "--set", "batch_size=32")


def torchrun(*arguments):
    """What two processes together wrote to stdout."""
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1", "PALATE_PROGRESS": "quiet"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "palate"]
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_fit_what_one_fits_and_one_of_them_writes(shop, call, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    said = json.loads(torchrun("fit", shop, "--out", tmp_path / "two", *MODEL, "--json", "--quiet"))
    call("fit", shop, "--out", tmp_path / "one", *MODEL, "--quiet")
    assert [row["model"] for row in said["headline"]] == ["lightgcn", "popularity", "ease"]
    manifest = read_json(tmp_path / "two" / "manifest.json")
    assert (manifest["processes"], manifest["openings_of_test"]) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"], "no checkpoint is left"
    one, two = (read_tensors(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name].numpy(), tensor.numpy(), rtol=0, atol=1e-5)
    one, two = (palate.restore(tmp_path / name).recommend(users=["u3"], k=5) for name in ("one", "two"))
    assert one["item"].to_list() == two["item"].to_list()


def test_what_processes_cannot_share_is_refused(call, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="fit and pretrain"):
        call("models")
