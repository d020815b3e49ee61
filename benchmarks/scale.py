"""A million users, 200 thousand items, 20 million interactions: time, memory and quality on one thread.

    python benchmarks/scale.py [--users 1000000] [--items 200000] [--cells popularity,item_knn,...] [--judged 50000]

The world is written once (`palate world --interactions 20 --no-media ...`). Each cell is a process of its own, so that
its peak memory is its own, and is kept: the command goes on where it stopped. Quality is recall@20 on ``judged``
validation users, drawn once and the same for all; selection inside a model uses them too. Test stays sealed.
The world's events repeat pairs: seconds per interaction are processor seconds of the model's set-up and epochs over
epochs and distinct training pairs; validation and the one-off set-up of the sampler are in ``fit_cpu_seconds`` alone.
A closed form counts as one epoch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, WORK, keep, real
from palate.core.files import read_json, write_json

BASELINES = ("popularity", "item_knn")
CELLS = {
    "popularity": ("world", "popularity"),
    "item_knn": ("world", "item_knn:k=200;shrink=50"),
    "spectral": ("world", "spectral:dim=16;filter=1;popularity=0.5"),
    "lightgcn": ("world", "lightgcn:batch_size=440000;lr=0.01;epochs=1;validate_every=2"),
    "lightgcn_baby": ("baby", "lightgcn:batch_size=0;lr=0.01;epochs=5"),
}


def work(cell: str, folder: Path, judged: int) -> dict[str, Any]:
    """Fit and evaluate one cell in this process."""
    import torch

    import palate
    from palate.contracts import Matcher
    from palate.contracts.parse import parse_model
    from palate.core.context import RunContext
    from palate.core.seeding import seed_torch
    from palate.evaluation.memory import peak
    from palate.metrics.held_out import evaluate_held_out
    from palate.training.loop import train
    from palate.training.saving import versions

    torch.set_num_threads(1)
    place, text = CELLS[cell]
    started = time.perf_counter()
    data = palate.load(folder if place == "world" else real("amazon-baby"))
    view = data.select_view().sampled(judged, 0)
    read = time.perf_counter() - started
    started, cpu = time.perf_counter(), time.process_time()
    model = parse_model(text)
    assert isinstance(model, Matcher) and view.valid is not None
    seed_torch(0, "init", model.name)
    model.setup(view, RunContext())
    run = RunContext(0, data.spec.headline)
    solved = model.solve(view, run)
    spent = time.process_time() - cpu
    state = None if solved else train(model, view, run)
    epochs = [] if state is None else [record["cpu_seconds"] for record in state.history]
    fit, fit_cpu = time.perf_counter() - started, time.process_time() - cpu
    started, cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        recall = evaluate_held_out(model.eval().scorer(), view.valid)["recall@20"]
    np.save(folder.parent / f"{folder.name}-{cell}.npy", recall)
    row: dict[str, Any] = {
        "model": text, "data": data.name, "users": data.n_users, "items": data.n_items,
        "interactions": len(data.interactions), "positives": len(data.positives), "train_pairs": len(view),
        "split": str(data.spec), "judged_users": len(view.valid), "read_seconds": read, "fit_seconds": fit,
        "fit_cpu_seconds": fit_cpu, "epoch_cpu_seconds": epochs,
        "seconds_per_interaction": (spent + sum(epochs)) / (max(1, len(epochs)) * len(view)),
        "evaluation_seconds": time.perf_counter() - started, "evaluation_cpu_seconds": time.process_time() - cpu,
        "peak_rss_gib": peak() / 2**30, "valid_recall@20": float(recall.mean()),
        "standard_error": float(recall.std(ddof=1) / np.sqrt(len(recall))),
    }  # fmt: skip
    return row | {"versions": versions()}


def compared(rows: dict[str, dict[str, Any]], folder: Path) -> None:
    """Add each cell's ratio to Baby's LightGCN and its paired gap to the baselines."""
    baby = rows.get("lightgcn_baby", {}).get("seconds_per_interaction")
    for cell, row in rows.items():
        if CELLS[cell][0] != "world":
            continue
        if baby:
            row["ratio_to_baby"] = row["seconds_per_interaction"] / baby
        for other in BASELINES:
            if other == cell or other not in rows or rows[other]["judged_users"] != row["judged_users"]:
                continue
            gap = np.subtract(*(np.load(folder.parent / f"{folder.name}-{name}.npy") for name in (cell, other)))
            error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
            row[f"over_{other}"] = {"gap": float(gap.mean()), "standard_error": error}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The figure for people."""
    names = ("cell", "train pairs", "fit, CPU s", "µs a pair and epoch", "to Baby's", "peak GiB", "valid recall@20")
    lines = ["# A million users, 200 thousand items, 20 million events: one thread", ""]
    lines += [f"| {' | '.join([*names, 'over item_knn'])} |", "|" + "---|" * (len(names) + 1)]
    for cell, row in rows.items():
        gap = row.get("over_item_knn")
        cost = f"{row['fit_cpu_seconds']:.0f} | {row['seconds_per_interaction'] * 1e6:.2f}"
        ratio = f"{row['ratio_to_baby']:.2f}" if "ratio_to_baby" in row else ""
        found = f"{row['valid_recall@20']:.5f} ± {row['standard_error']:.5f}"
        over = f"{gap['gap']:+.5f} ± {gap['standard_error']:.5f}" if gap else ""
        lines.append(
            f"| {cell} | {row['train_pairs']:,} | {cost} | {ratio} | {row['peak_rss_gib']:.2f} | {found} | {over} |"
        )
    return "\n".join([*lines, "", "± is one standard error over users; gaps are paired.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--judged", type=int, default=50_000)
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--work", choices=sorted(CELLS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = WORK / "scale" / f"world-{args.users}-{args.items}"
    kept = folder.parent / f"{folder.name}-judged-{args.judged}"
    if args.work:
        write_json(kept / f"{args.work}.json", work(args.work, folder, args.judged))
        return
    kept.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if not (folder / "world.json").is_file():
        sizes = ["--users", str(args.users), "--items", str(args.items)]
        options = [*sizes, "--interactions", "20", "--no-media", "--impression-share", "0"]
        subprocess.run([sys.executable, "-m", "palate", "world", str(folder), *options], check=True, env=environment)
    sizes = [f"--{name}={getattr(args, name)}" for name in ("users", "items", "judged")]
    for cell in args.cells.split(","):
        if not (kept / f"{cell}.json").is_file():
            subprocess.run([sys.executable, __file__, *sizes, "--work", cell], check=True, env=environment)
        rows = {name: read_json(kept / f"{name}.json") for name in CELLS if (kept / f"{name}.json").is_file()}
        compared(rows, folder)
        full = (args.users, args.items) == (1_000_000, 200_000)
        name = "scale" if full else f"scale-{args.users}"
        result = {"command": "python benchmarks/scale.py " + " ".join(sizes), "threads": 1, "rows": rows}
        if full:
            keep(name, result, table(rows))
        else:
            write_json(folder.parent / f"{name}.json", result)
    sys.stdout.write(f"{RESULTS if full else folder.parent}\n")


if __name__ == "__main__":
    main()
