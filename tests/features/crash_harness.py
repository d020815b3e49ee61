"""Kill a process that encodes, again and again, and look at what it left behind.

``run(kills=200)`` is the long form; the tests call a short one.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from palate.core.asides import TEMP_PREFIX
from palate.features.encoders.hash import HashedNgrams
from palate.features.segment import Segment
from palate.features.store import FeatureStore

TEXTS = [f"item {i} " + " ".join(f"word{(i * 7 + k) % 97}" for k in range(30)) for i in range(600)]
BATCH = 12


def encode(folder: Path):
    return FeatureStore(folder).encode(HashedNgrams(dim=512), TEXTS, batch_size=BATCH)


def _child(folder: Path, fuse: int | None) -> None:
    """Encode; with a ``fuse``, die at that call of fsync or rename, before or after it happened."""
    if fuse is not None:
        left = [fuse]

        def armed(real):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                out = real(*args, **kwargs)
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return out

            return call

        os.fsync, os.replace = armed(os.fsync), armed(os.replace)
    encode(folder)


def run(kills: int, folder: Path, seed: int = 0) -> dict[str, int]:
    """Kill ``kills`` times, half of them inside a write; counts of what was seen.

    Raises:
        AssertionError: when a partial file is an entry, a finished batch is lost, or the result differs by a bit.
    """
    draw = np.random.default_rng(seed)
    start = time.perf_counter()
    expected = encode(folder / "uninterrupted")
    whole = time.perf_counter() - start
    seen = {"killed": 0, "finished": 0, "leftovers": 0, "stores": 1}
    store, kept = folder / "store-0", set()
    while seen["killed"] < kills:
        fuse = int(draw.integers(1, 60)) if seen["killed"] % 2 else None
        child = os.fork()
        if child == 0:
            try:
                _child(store, fuse)
            finally:
                os._exit(0)
        if fuse is None:
            time.sleep(float(draw.random()) * whole * 0.5)
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status)
        seen["killed"] += killed
        kept, left = _inspect(store, kept)
        seen["leftovers"] += left
        if not killed or len(kept) * BATCH >= len(TEXTS):
            _finish(store, expected)
            seen["finished"] += 1
            store, kept = folder / f"store-{seen['stores']}", set()
            seen["stores"] += 1
    _finish(store, expected)
    return seen


def _inspect(store: Path, before: set[str]) -> tuple[set[str], int]:
    shelves = list(store.glob("hash-*"))
    files = {file.name for shelf in shelves for file in shelf.iterdir() if not file.name.startswith(".")}
    assert files <= {"encoder.json"} | {name for name in files if name.endswith(".safetensors")}, files
    assert before <= files, "a finished batch was lost"
    for shelf in shelves:
        for file in shelf.glob("[!.]*.safetensors"):
            Segment.read(file)
    left = sum(1 for shelf in shelves for _ in shelf.glob(f"{TEMP_PREFIX}*"))
    return {name for name in files if name.endswith(".safetensors")}, left


def _finish(store: Path, expected) -> None:
    found = encode(store)
    assert found.values.tobytes() == expected.values.tobytes() and (found.present == expected.present).all()
    assert not list(store.rglob(f"{TEMP_PREFIX}*")), "leftovers of killed writers stay"
    keys = [key for file in store.rglob("[!.]*.safetensors") for key in Segment.read(file).keys]
    assert len(keys) == len(set(keys)) == len(TEXTS)
