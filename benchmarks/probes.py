"""First versions of three kinds of models that are not retrieval on pairs: clicks, sequences, news.

    python benchmarks/probes.py din|sasrec|nrms [--seeds 0,1,2]

``din`` on movies/ctr against the sum of user mean and item mean; ``sasrec`` on Amazon Beauty, leave one out, all items
ranked; ``nrms`` in the simulated world ``news@1`` against articles ranked by popularity. Results are kept as they come.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import palate
from _common import RESULTS, WORK, keep, real
from palate.contracts.parse import parse_model
from palate.core.files import read_json
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.impressions import grouped_metrics, placement_values
from palate.training.fit import fit
from palate.training.saving import versions

MODELS = {
    "din": "din",
    "sasrec": "sasrec:validate_every=3;patience=3;epochs=30;dropout=0.5",
    "nrms": "nrms:epochs=6;dim=64;views=attributes,content,id",
}
SHOWN = {
    "din": ("auc", "group_auc", "log_loss"),
    "sasrec": ("recall@10", "ndcg@10", "recall@20"),
    "nrms": ("group_auc", "mrr", "ndcg@10"),
}


def data_of(name: str, seed: int) -> Dataset:
    """The data of a probe; in the simulated world a seed is a world."""
    if name == "din":
        return palate.load(real("movies") / "ctr")
    if name == "sasrec":
        return palate.load(real("amazon-sequences"), name="Beauty")
    from palate.simulation.world import World

    folder = WORK / "probes" / f"news-{seed}"
    if not (folder / "world.json").is_file():
        World.make(preset="news@1", seed=seed).write(folder, overwrite=True)
    return palate.load(folder, split="temporal")


def floor(name: str, data: Dataset) -> dict[str, float]:
    """What is reached without a network: user mean + item mean, or popularity."""
    if name == "sasrec":
        judged = evaluate(fit(parse_model("popularity"), data), data)
        return {metric: judged.metrics[metric] for metric in SHOWN[name]}
    events, questions = data.select_view().events, data.test_events()
    labels = events.label > 0
    mean = float(labels.mean())

    def means(owner: np.ndarray, n: int) -> np.ndarray:
        count = np.bincount(owner, minlength=n)
        return np.where(count > 0, np.bincount(owner, weights=labels, minlength=n) / np.maximum(count, 1), mean)

    shown = events.shown
    labels, users, items = labels[shown], events.user[shown], events.item[shown]
    scores = means(items, data.n_items)[questions.events.item]
    if name == "din":
        scores = scores + means(users, data.n_users)[questions.events.user]
    truth = questions.events.label > 0
    values = {"auc": placement_values(truth, scores), **grouped_metrics(truth, scores, questions.groups)}
    return {metric: float(np.nanmean(values[metric])) for metric in SHOWN[name] if metric != "log_loss"}


def run(name: str, seed: int) -> dict[str, Any]:
    """One fit and one opening of test."""
    data = data_of(name, seed)
    started = time.perf_counter()
    encoders = {"text": "tfidf?dim=128"} if name == "nrms" else None
    content = plan_content(data, encoders, WORK / "probes" / f"store-{name}")
    model = fit(parse_model(MODELS[name]), data, seed=seed, content=content)
    judged = evaluate(model, data)
    history = model.deployment.log.history  # type: ignore[attr-defined]
    return {
        "seed": seed,
        "model": MODELS[name],
        "data": data.name,
        "hash": data.hash,
        "split": str(data.spec),
        "metrics": {metric: judged.metrics[metric] for metric in SHOWN[name]},
        "floor": floor(name, data),
        "valid": model.deployment.log.valid,  # type: ignore[attr-defined]
        "epochs": len(history),
        "loss": [record["loss"] for record in history],
        "CPU seconds per epoch": float(np.mean([record["cpu_seconds"] for record in history])),
        "seconds": time.perf_counter() - started,
        "threads": torch.get_num_threads(),
        "command": command_line(),
        "versions": versions(),
    }


def table(cells: dict[str, dict[str, Any]]) -> str:
    """Means over seeds, beside what is reached without a network."""
    lines = ["# Probes", "", "| model | data | metric | mean ± sd | without a network | seeds | CPU s an epoch |"]
    lines.append("|---" * 7 + "|")
    for name, metrics in SHOWN.items():
        own = [cell for key, cell in sorted(cells.items()) if key.startswith(f"{name}/")]
        for metric in metrics if own else ():
            values = [cell["metrics"][metric] for cell in own]
            base = [cell["floor"][metric] for cell in own if metric in cell["floor"]]
            spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
            shown = f"{np.mean(base):.4f}" if base else ""
            seconds = np.mean([cell["CPU seconds per epoch"] for cell in own])
            lines.append(
                f"| {name} | {own[0]['data']} | {metric} | {np.mean(values):.4f}{spread} | {shown} "
                f"| {len(own)} | {seconds:.1f} |"
            )
    return "\n".join([*lines, ""])


def main() -> None:
    """Run a probe with some seeds and keep the results."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("probe", choices=sorted(MODELS))
    arguments.add_argument("--seeds", default="0,1,2")
    given = arguments.parse_args()
    file = Path(RESULTS / "probes.json")
    for seed in map(int, given.seeds.split(",")):
        cell = run(given.probe, seed)
        cells = (read_json(file) if file.is_file() else {}) | {f"{given.probe}/{seed}": cell}
        keep("probes", cells, table(cells))
        print(f"{given.probe} seed {seed}: {cell['metrics']}, without a network {cell['floor']}")


if __name__ == "__main__":
    main()
