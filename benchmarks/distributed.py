"""Two processes against one: training under torchrun, encoding by Ray Data; and what filters cost in Qdrant's client.

    python benchmarks/distributed.py [--only training,encoding,index]

Every run is a fresh process on one thread, so that its seconds hold all that starting costs. Training: ``palate fit
--no-test --no-baselines`` of two models; in lightgcn a step's loss is a mean over its pairs, in clcrec each item is
told from the other items of its batch, of which a process sees its share alone. Encoding: MiniLM on plots. Index: the
same searches in a folder and in the engine of Qdrant's client, and masks as requests. Nothing here talks to a server.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, WORK, fresh, keep, real
from palate.core.files import file_digest, read_json, read_tensors

FOLDER = WORK / "distributed"
SHARED = ("epochs=8", "patience=8", "validate_every=4")
TRAINING: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "lightgcn": ("amazon-baby", (), ("dim=64", "batch_size=2048")),
    "clcrec": ("movies", ("text=hash", "image=image_stats"), ("dim=32", "batch_size=2048", "candidates=256")),
}
TEXTS, ASKED, K, MASKS = 768, 50, 20, (1_000, 10_000, 100_000, 1_000_000)
VECTORS, WIDE, SEED = 20_000, 64, 0
LOADED = "One thread a process. Two cores that others kept busy as well: what is equal counts here, seconds are rough."
ENCODING = ("one process", "1 worker of Ray", "2 workers of Ray")


def child(*command: str) -> float:
    """Wall seconds of a process on one thread."""
    # Ray's workers give way to everybody else unless told: on a machine with other users they would be compared by that
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PALATE_PROGRESS": "quiet", "RAY_worker_niceness": "0"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def training(name: str) -> dict[str, Any]:
    """One model with one process and with two: seconds, and how far they end apart."""
    place, encoders, settings = TRAINING[name]
    folder, data = fresh(FOLDER / name), str(real(place))
    store = ["--store", str(folder / "store"), *(f"--encoder={one}" for one in encoders)]
    child("-m", "palate", "encode", data, *store)
    fit = ["fit", data, "--model", name, "--no-test", "--no-baselines", "--quiet", "--seed", str(SEED), *store]
    fit += [f"--set={one}" for one in (*SHARED, *settings)]
    row: dict[str, Any] = {"data": place, "settings": [*SHARED, *settings], "seed": SEED}
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for processes, before in ((1, []), (2, several)):
        out = folder / str(processes)
        seconds = child(*before, "-m", "palate", *fit, "--out", str(out))
        manifest = read_json(out / "manifest.json")
        history = manifest["log"]["history"]
        row |= {"hash": manifest["about"]["hash"], "split": manifest["about"]["split"], "metric": "valid"}
        row[str(processes)] = {
            "seconds": seconds, "epoch_seconds": float(np.median([one["seconds"] for one in history])),
            "losses": [one["loss"] for one in history], "valid": [one["valid"] for one in history if "valid" in one],
        }  # fmt: skip
    one, two = (read_tensors(folder / processes / "model.safetensors") for processes in "12")
    weights = [key for key in one if one[key].is_floating_point()]
    row["weights_apart"] = max(float((one[key] - two[key]).abs().max()) for key in weights)
    row["weights_largest"] = max(float(one[key].abs().max()) for key in weights)
    row["losses_apart"] = max(abs(a - b) for a, b in zip(row["1"]["losses"], row["2"]["losses"]))
    return row


def texts() -> list[str]:
    import palate

    found = palate.load(real("movies")).items.raw("text")
    return [one for one in found if isinstance(one, str)][:TEXTS]


def encode(how: str, out: Path) -> None:
    """Encode in this process or by Ray, and leave the vectors."""
    from palate.features.encoders.make import make_encoder
    from palate.features.ray_store import RayStore
    from palate.features.store import FeatureStore

    place = out.with_suffix(".store")
    started = time.perf_counter()
    store = FeatureStore(place) if how == ENCODING[0] else RayStore(place, ENCODING.index(how))
    found = store.encode(make_encoder("minilm", "text"), texts())
    spent = time.perf_counter() - started
    np.save(out, found.values)
    again = time.perf_counter()
    store.encode(make_encoder("minilm", "text"), texts())
    spare = time.perf_counter() - again
    out.with_suffix(".json").write_text(json.dumps({"encode_seconds": spent, "again_seconds": spare}))


def encoding() -> dict[str, Any]:
    folder = fresh(FOLDER / "encoding")
    rows: dict[str, Any] = {"texts": len(texts()), "encoder": "minilm", "data": "movies"}
    for place, how in enumerate(ENCODING):
        out = folder / f"{place}.npy"
        seconds = child(__file__, "--encode", how, "--out", str(out))
        rows[how] = {"seconds": seconds, **read_json(out.with_suffix(".json")), "bits": file_digest(out)}
    rows["same_bits"] = len({rows[how]["bits"] for how in ENCODING}) == 1
    return rows


def index() -> dict[str, Any]:
    """A folder against the client's own engine, and masks as requests."""
    import warnings

    from palate.serving.index import LocalIndex
    from palate.serving.index.qdrant import QdrantIndex, connect

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(SEED)
    vectors = rng.standard_normal((VECTORS, WIDE)).astype(np.float32)
    queries = rng.standard_normal((ASKED, WIDE)).astype(np.float32)
    started = time.perf_counter()
    here = LocalIndex.build(fresh(FOLDER / "index"), vectors)
    rows: dict[str, Any] = {"vectors": VECTORS, "wide": WIDE, "k": K, "folder": {}, "client": {}}
    rows["folder"]["build_seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    there = QdrantIndex.build("bench", vectors, client=connect(":memory:"))
    rows["client"]["build_seconds"] = time.perf_counter() - started
    same = True
    for share in (None, 0.02, 0.5, 0.98):
        allowed = None if share is None else rng.random(VECTORS) < share
        found = []
        for name, one in (("folder", here), ("client", there)):
            some = queries if name == "folder" else queries[:5]
            started = time.perf_counter()
            found.append(one.search(some, K, allowed)[0])
            rows[name][f"query_ms {share or 'all'}"] = (time.perf_counter() - started) / len(some) * 1e3
        same &= bool((found[0][: len(found[1])] == found[1]).all())
    return rows | {"same_rows": same, "requests": [request(count) for count in MASKS]}


def request(count: int) -> dict[str, Any]:
    """A filter of ``count`` ids from mask to the body of a request, as REST sends it."""
    from qdrant_client import models

    from palate.serving.index.qdrant import MAX_FILTER_IDS, _conditions

    mask = np.zeros(4 * count, bool)
    mask[np.random.default_rng(SEED).choice(4 * count, count, False)] = True
    started, size, parts = time.process_time(), 0, 0
    for must, never in _conditions(mask):
        asked = models.QueryRequest(filter=models.Filter(must=must, must_not=never), limit=K)
        size, parts = size + len(asked.model_dump_json(exclude_unset=True)), parts + 1
    spent = time.process_time() - started
    return {"ids": count, "most_in_one": MAX_FILTER_IDS, "filters": parts, "mib": size / 2**20, "cpu_seconds": spent}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = ["# Two processes against one", "", LOADED]
    for part, show in (("training", trained), ("encoding", encoded), ("index", searched)):
        if part in result:
            lines += ["", *show(result[part])]
    return "\n".join([*lines, ""])


def trained(rows: dict[str, Any]) -> list[str]:
    lines = ["## Training under torchrun", ""]
    names = ("model", "data", "processes", "seconds in all", "seconds an epoch", "last loss", "last valid")
    lines += [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, row in rows.items():
        for processes in "12":
            one = row[processes]
            spent = f"{one['seconds']:.1f} | {one['epoch_seconds']:.2f}"
            found = f"{one['losses'][-1]:.6f} | {one['valid'][-1]:.6f}"
            lines.append(f"| {name} | {row['data']} | {processes} | {spent} | {found} |")
    lines.append("")
    for name, row in rows.items():
        apart = f"{row['weights_apart']:.1e} apart (the largest is {row['weights_largest']:.2f})"
        lines.append(f"- {name}: its numbers end at most {apart}, losses of an epoch at most {row['losses_apart']:.1e}")
    return lines


def encoded(rows: dict[str, Any]) -> list[str]:
    lines = [f"## Encoding {rows['texts']:,} plots with MiniLM", ""]
    lines += ["| who | seconds in all | of them encoding | again, all there |", "|---|---|---|---|"]
    for how in ENCODING:
        one = rows[how]
        lines.append(f"| {how} | {one['seconds']:.1f} | {one['encode_seconds']:.1f} | {one['again_seconds']:.2f} |")
    return [*lines, "", f"Same bits: {'yes' if rows['same_bits'] else 'no'}."]


def searched(rows: dict[str, Any]) -> list[str]:
    lines = [f"## Index: {rows['vectors']:,} vectors of {rows['wide']}, best {rows['k']}", ""]
    lines += ["| engine | build, s | a query, ms | 2 % allowed | 50 % | 98 % |", "|---|---|---|---|---|---|"]
    for name, label in (("folder", "folder, exact"), ("client", "Qdrant's client alone, no server")):
        spent = " | ".join(f"{rows[name][f'query_ms {share}']:.2f}" for share in ("all", 0.02, 0.5, 0.98))
        lines.append(f"| {label} | {rows[name]['build_seconds']:.2f} | {spent} |")
    lines += ["", f"Same rows: {'yes' if rows['same_rows'] else 'no'}. What a mask is as requests to a server:", ""]
    lines += ["| ids listed | filters | MiB | CPU seconds to make |", "|---|---|---|---|"]
    for one in rows["requests"]:
        lines.append(f"| {one['ids']:,} | {one['filters']} | {one['mib']:.3f} | {one['cpu_seconds']:.4f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="training,encoding,index")
    parser.add_argument("--encode", choices=ENCODING, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.encode:
        encode(args.encode, args.out)
        return
    from importlib.metadata import version

    from palate.training.saving import versions

    file = RESULTS / "distributed.json"
    result: dict[str, Any] = read_json(file) if file.is_file() else {}
    packages = {name: version(name) for name in ("ray", "qdrant-client", "transformers")}
    result |= {"command": "python benchmarks/distributed.py", "versions": versions() | packages}
    result |= {"seed": SEED, "threads": 1, "cores": os.cpu_count()}
    for part in args.only.split(","):
        if part == "training":
            result[part] = {name: training(name) for name in TRAINING}
        else:
            result[part] = {"encoding": encoding, "index": index}[part]()
        keep("distributed", result, table(result))


if __name__ == "__main__":
    main()
