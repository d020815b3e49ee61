"""How well labels of items are told from their content: without training, by a head, by tuned encoders.

    python benchmarks/tagging.py movies|clothing [--seeds 3] [--epochs 1] [--systems 'majority;zero-shot']

``movies``: genres of films (several each) from title, plot and poster; three draws of the films that train, validate
and test. ``clothing``: kinds of garments (one each) from photos; the parts that came with them, three seeds of
training. Everything is chosen on validation, the test part is read once for all. Systems that are tuned train the head
first and then encoder and head for ``--epochs`` epochs; they read the same inputs as the frozen ones beside them.
Results of each fit are kept under PALATE_WORK, so that a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch

import palate
from _common import WORK, keep, real
from palate.contracts.parse import parse_model
from palate.core.cache import vectors_folder
from palate.core.files import digest, read_json, write_json
from palate.core.progress import set_mode
from palate.data.dataset import Dataset
from palate.data.splits import Split
from palate.evaluation.evaluate import evaluate
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_all
from palate.training.deployment import log_of
from palate.training.fit import fit
from palate.training.saving import versions

METRICS = ("micro_f1", "macro_f1", "macro_average_precision", "average_precision", "accuracy")
TEXT, PIXELS = "minilm?max_length=32", "lite0?side=96"
MOVIES = {
    "majority": ("majority_tagger:column=Genre", {}),
    "zero-shot, text": ("zero_shot_tagger:column=Genre;prompt=a {label} movie", {"image": "none"}),
    "zero-shot, text and poster": ("zero_shot_tagger:column=Genre;prompt=a {label} movie", {}),
    "frozen, text": ("content_tagger:column=Genre", {"text": TEXT, "image": "none", "attributes": "none"}),
    "LoRA, text": (
        "content_tagger:column=Genre;tuning=lora:8",
        {"text": TEXT, "image": "none", "attributes": "none"},
    ),
    "full, text": (
        "content_tagger:column=Genre;tuning=full",
        {"text": TEXT, "image": "none", "attributes": "none"},
    ),
    "frozen, text and poster": ("content_tagger:column=Genre", {"attributes": "none"}),
    "frozen, all content": ("content_tagger:column=Genre", {}),
}
CLOTHING = {
    "majority": ("majority_tagger", {}),
    "zero-shot": ("zero_shot_tagger", {}),
    "frozen, 96 pixels": ("content_tagger", {"image": PIXELS}),
    "LoRA, 96 pixels": ("content_tagger:tuning=lora:8", {"image": PIXELS}),
    "full, 96 pixels": ("content_tagger:tuning=full", {"image": PIXELS}),
    "frozen, 224 pixels": ("content_tagger", {"image": "efficientnet_lite0"}),
}
BASES = {"movies": "frozen, text", "clothing": "frozen, 96 pixels"}
WORDS = {"longsleeve": "long sleeve shirt", "outwear": "outerwear"}
"""Kinds whose folder's name is no English word -> what people would type."""


class OwnParts(Dataset):
    """Items whose column ``part`` says which of them train, validate and test."""

    @cached_property
    def split(self) -> Split:
        part = self.items.frame["part"].to_numpy()
        train, valid, test = (part == name for name in ("train", "validation", "test"))
        return replace(
            super().split, refit=False, visible_items=train, refit_items=train, valid_candidates=valid,
            test_candidates=test,
        )  # fmt: skip


def clothing() -> Dataset:
    """Photos of garments with their kinds; a log that says nothing, since data have one."""
    files = sorted(real("clothing-cc0").glob("*/*/*.jpg"))
    root = real("clothing-cc0")
    kinds = [file.parts[-2] for file in files]
    items = pl.DataFrame(
        {
            "item": [str(file.relative_to(root)) for file in files],
            "photo": [str(file.relative_to(root)) for file in files],
            "kind": [WORDS.get(kind, kind) for kind in kinds],
            "part": [file.parts[-3] for file in files],
        }
    )
    log = pl.DataFrame({"user": ["nobody"] * len(items), "item": items["item"]})
    columns = {"item": "id", "photo": "image", "kind": "attributes"}
    return OwnParts.from_frames(items, log, columns=columns, root=root, name="clothing-cc0", split="item_cold")


def fitted(data: Dataset, name: str, systems: dict[str, Any], seed: int, epochs: int, folder: Any) -> dict[str, Any]:
    """Metrics by test item of one fit, and what it cost; kept in ``folder``."""
    spec, encoders = systems[name]
    settings = {"epochs": epochs} if "tuning" in spec else {}
    known = {one: encoder for one, encoder in encoders.items() if one in data.items.modalities}
    key = digest(spec, repr(sorted(known.items())), repr(settings), data.hash, str(data.spec), str(seed))[:16]
    file = folder / f"{key}.json"
    if file.is_file():
        return read_json(file)
    model = parse_model(spec, settings)
    started, cpu = time.perf_counter(), time.process_time()
    plan = plan_content(data, known, vectors_folder(real("movies" if data.name == "movies" else "clothing-cc0")))
    fit(model, data, seed=seed, content=plan, refit=False)
    log = log_of(model)
    cost = {"seconds": time.perf_counter() - started, "cpu seconds": time.process_time() - cpu, "trained": log.trained}
    judged = evaluate(model, data)
    found = {
        "valid": log.valid, "epochs": len(log.history), **cost,
        "per item": {metric: judged.per_unit[metric].tolist() for metric in METRICS},
        "openings": judged.about["openings_of_test"],
    }  # fmt: skip
    write_json(file, found)
    print(f"{data.name} {name} seed {seed}: micro {judged.metrics['micro_f1']:.4f}", flush=True)
    return found


def table(name: str, seeds: int, epochs: int, wanted: list[str] | None) -> dict[str, Any]:
    """All systems on one data set, each against the frozen one that reads what the tuned ones read."""
    movies = name == "movies"
    data = palate.load(real("movies"), split="item_cold") if movies else clothing()
    systems, folder = (MOVIES if movies else CLOTHING), WORK / "tagging" / name
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [system for system in systems if wanted is None or system in wanted]
    found = {}
    for system in chosen:
        # films are drawn again with each seed, garments have parts of their own
        drawn = [data.with_split(f"item_cold:seed={seed}") if movies else data for seed in range(seeds)]
        found[system] = [fitted(one, system, systems, seed, epochs, folder) for seed, one in enumerate(drawn)]
    known = {
        metric: {system: [_judged(one["per item"][metric]) for one in fits] for system, fits in found.items()}
        for metric in METRICS
    }
    rows = []
    for system, fits in found.items():
        row: dict[str, Any] = {"system": system, "model": systems[system][0], "encoders": systems[system][1]}
        for metric in METRICS:
            means = [float(v.mean()) for v in known[metric][system]]
            row |= {metric: float(np.mean(means)), f"{metric} by seed": means}
        costs = ("trained", "cpu seconds", "seconds", "epochs")
        row |= {key: float(np.mean([one[key] for one in fits])) for key in costs}
        rows.append(row)
    tests = {}
    base = BASES[name]
    for metric in METRICS if base in found else ():
        shaped = known[metric] if movies else {s: np.stack(own) for s, own in known[metric].items()}
        others = {s: own for s, own in shaped.items() if s != base}
        tests[metric] = {s: vars(one) for s, one in compare_all(shaped[base], others).items()}
    return {
        "data": data.name, "hash": data.hash, "seeds": seeds, "epochs of tuned encoders": epochs, "base": base,
        "test items": [len(own) for own in next(iter(known["micro_f1"].values()))], "labels": _labels(data, movies),
        "table": rows, "tests": tests, "command": command_line(), "versions": versions(),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def _judged(values: list[float | None]) -> np.ndarray:
    """Values of the items that have labels."""
    found = np.array(values, np.float64)
    return found[~np.isnan(found)]


def _labels(data: Dataset, movies: bool) -> int:
    from palate.features.labels import catalog_labels

    return len(catalog_labels(data.items, "Genre" if movies else "kind").names)


def markdown(result: dict[str, Any]) -> str:
    """The table for people."""
    base, tests = result["base"], result["tests"]
    films = result["data"] == "movies"
    shown = ["micro_f1" if films else "accuracy", "macro_f1", "macro_average_precision"]
    tested = ("micro_f1", "macro_f1") if films else ("accuracy", "macro_f1")
    head = [*shown, *(f"{one} - {base} [95 %]" for one in tested), "trained", "CPU s"]
    where = "draws of the films" if films else "seeds of training"
    lines = [
        f"# {result['data']}: {result['labels']} labels, {result['seeds']} {where}, test items {result['test items']}",
        "",
        f"| system | {' | '.join(head)} |",
        "|---" * (len(head) + 1) + "|",
    ]
    for row in result["table"]:
        cells = [f"{row[one]:.4f}" for one in shown]
        for metric in tested:
            test = tests.get(metric, {}).get(row["system"])
            cells.append(
                f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}] p {test['p_adjusted']:.3f}"
                if test else ""
            )  # fmt: skip
        lines.append(f"| {row['system']} | {' | '.join(cells)} | {row['trained']:,.0f} | {row['cpu seconds']:.0f} |")
    epochs = result["epochs of tuned encoders"]
    lines += [
        "",
        f"Tuned encoders: {epochs} epoch{'s' * (epochs > 1)} of encoder and head after 20 of the head alone. Texts have"
        " at most 32 tokens of MiniLM (22 million weights), photos 96 pixels of EfficientNet-Lite0 (3.4 million), in"
        " tuned systems and in the frozen one that they are compared with; others read 256 tokens and 224 pixels."
        " Intervals and p (Holm, over the systems) are those of Student's t with a standard error that counts seeds and"
        " items. Thresholds and epochs are chosen on validation, training is not repeated with it. Seconds leave out"
        " vectors that the store had.",
        "",
        f"`{result['command']}`",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure one data set and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("movies", "clothing"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--systems")
    args = parser.parse_args()
    set_mode("quiet")
    result = table(args.data, args.seeds, args.epochs, args.systems.split(";") if args.systems else None)
    keep(f"tagging-{args.data}", result, markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
