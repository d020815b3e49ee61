"""SIGKILL at random moments of fit and of encode: afterwards everything resumes to the same bits, nothing half is seen.

    python benchmarks/crash.py --fit 100 --encode 100

Every kill starts a process, waits a random part of the time an undisturbed one takes, and kills it. When it happens to
finish first, its work is thrown away and the next one starts over. After each kill: what is visible must be readable
and whole. The last process of each round is left to finish, and must arrive at the bits of an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from _common import keep

USERS, ITEMS, TEXTS = 60, 40, 400
BLEND = {
    "members": ("lightgcn", "bpr"),
    "settings": {name: {"dim": 16, "epochs": 40, "patience": 50, "batch_size": 64} for name in ("lightgcn", "bpr")},
}


def data() -> Any:
    from palate.data.dataset import Dataset

    rng = np.random.default_rng(0)
    rows = [
        (u, int(i), max(0, place - 7)) for u in range(USERS) for place, i in enumerate(rng.choice(ITEMS, 10, False))
    ]
    log = pl.DataFrame(rows, schema=["user", "item", "part"], orient="row")
    items, users = pl.DataFrame({"item": np.arange(ITEMS)}), pl.DataFrame({"user": np.arange(USERS)})
    return Dataset.from_frames(items, log, users, columns={"item": "id"})


def texts() -> list[str]:
    rng = np.random.default_rng(1)
    words = ["lamp", "chair", "river", "stone", "music", "green", "cold", "paper", "night", "engine"]
    return [" ".join(rng.choice(words, 12)) + f" {row}" for row in range(TEXTS)]


def work_fit(folder: Path) -> None:
    """Fit with a checkpoint after every epoch, then save a run."""
    from palate.models.match.blend import Blend
    from palate.training.fit import fit

    (folder / "ready").touch()
    fit(Blend(**BLEND), data(), seed=1, checkpoint=folder / "checkpoint", checkpoint_seconds=0.0).save(folder / "run")


def work_encode(folder: Path) -> None:
    """Encode into a store, a few texts a segment."""
    from palate.features.encoders.make import make_encoder
    from palate.features.store import FeatureStore

    store, encoder = FeatureStore(folder / "store"), make_encoder("hash?dim=256", "text")
    (folder / "ready").touch()
    np.save(folder / "aside.npy", store.encode(encoder, texts(), batch_size=4).values)
    os.replace(folder / "aside.npy", folder / "vectors.npy")


def look_fit(folder: Path) -> str | None:
    """Bits of the finished run, None before; raises when something visible is damaged."""
    import palate
    from palate.core.files import read_tensors

    for path in (folder / "checkpoint").rglob("*.safetensors"):
        if not path.name.startswith(".palate-tmp-"):
            read_tensors(path)
    if not (folder / "run").exists():
        return None
    palate.restore(folder / "run")
    from palate.core.files import file_digest

    return file_digest(folder / "run" / "model.safetensors")


def look_encode(folder: Path) -> str | None:
    """Bits of the finished matrix, None before; raises when the store shows a damaged file."""
    from palate.core.files import file_digest
    from palate.features.encoders.make import make_encoder
    from palate.features.store import FeatureStore

    store = FeatureStore(folder / "store")
    if (folder / "store").is_dir():
        store.encode(make_encoder("hash?dim=256", "text"), texts()[:1])
        if store.damaged:
            raise RuntimeError(f"damaged: {store.damaged}")
    return file_digest(folder / "vectors.npy") if (folder / "vectors.npy").exists() else None


JOBS = {"fit": look_fit, "encode": look_encode}


def start(job: str, folder: Path) -> tuple[subprocess.Popen[bytes], float]:
    """A worker that has finished importing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ready").unlink(missing_ok=True)
    environment = {**os.environ, "PALATE_PROGRESS": "quiet", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, __file__, "--work", job, "--folder", str(folder)], env=environment)
    while not (folder / "ready").exists() and process.poll() is None:
        time.sleep(0.002)
    return process, time.perf_counter()


def campaign(job: str, kills: int, root: Path, seed: int) -> dict[str, Any]:
    """``kills`` kills that landed; rounds of ten, each ended by a run that must give the undisturbed bits."""
    look, draws = JOBS[job], random.Random(f"{job}-{seed}")
    process, began = start(job, root / "undisturbed")
    if process.wait() != 0:
        raise RuntimeError(f"{job} fails without any kill")
    length, wanted = time.perf_counter() - began, look(root / "undisturbed")
    landed = rounds = wrong = faults = finished_first = 0
    folder = root / "round-0"
    while landed < kills:
        process, _ = start(job, folder)
        time.sleep(draws.uniform(0, length))
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            finished_first += 1
            wrong += look(folder) != wanted
            shutil.rmtree(folder)
            continue
        landed += 1
        try:
            found = look(folder)
            wrong += found not in (None, wanted)
        except Exception as error:
            faults += 1
            sys.stderr.write(f"{job}, kill {landed}: {error}\n")
        if landed % 10 == 0 or landed == kills or (folder / "run").exists() or (folder / "vectors.npy").exists():
            process, _ = start(job, folder)
            wrong += process.wait() != 0 or look(folder) != wanted
            left = [path for path in folder.rglob("*.safetensors") if not path.is_file()]
            faults += len(left)
            rounds += 1
            shutil.rmtree(folder)
            folder = root / f"round-{rounds}"
    return {
        "kills": landed, "finished_first": finished_first, "resumed_to_the_end": rounds, "seconds_undisturbed": length,
        "partial_files_visible": faults, "different_bits": wrong,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=0, help="kills during fit")
    parser.add_argument("--encode", type=int, default=0, help="kills during encode")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", choices=sorted(JOBS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        {"fit": work_fit, "encode": work_encode}[given.work](given.folder)
        return
    from palate.training.saving import versions

    command = f"python benchmarks/crash.py --fit {given.fit} --encode {given.encode} --seed {given.seed}"
    result: dict[str, Any] = {"command": command, "seed": given.seed}
    with tempfile.TemporaryDirectory() as root:
        for job in JOBS:
            kills = getattr(given, job)
            if kills:
                result[job] = campaign(job, kills, Path(root) / job, given.seed)
    bad = any(result[job]["partial_files_visible"] or result[job]["different_bits"] for job in JOBS if job in result)
    keep("crash", result | {"versions": versions()})
    print(json.dumps(result, indent=2))
    if bad:
        sys.exit(1)


if __name__ == "__main__":
    main()
