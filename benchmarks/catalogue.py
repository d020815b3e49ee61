"""Movies nobody has seen: encoders pretrained on the catalogue itself against what they have to beat.

    python benchmarks/catalogue.py [--draws 10] [--split inductive|transductive]

Everything but the encoders is equal: ``content_kernel`` on the vectors of plots and posters alone, with settings that
suit the built-in descriptors, refitted, test opened once a draw. ``pretrained``: words by ``newsembed@bag`` (topics and
co-liked films), posters by ``patch_atoms``; ``untrained``: the same towers as they are drawn; ``built-in``: tf-idf and
descriptors of colours and gradients; ``minilm``: a sentence encoder as it comes, with these descriptors; ``continued``:
its last layer trained further by ``newsembed``.
Settings were chosen on draws 100 to 103, where test was looked at too. Cells are kept under PALATE_WORK.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palate
from _common import WORK, keep, real
from palate.core.model import parse, pretrainers
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.compare import compare
from palate.evaluation.job import command_line
from palate.metrics.bootstrap import compare_paired
from palate.training.pretrain import pretrain
from palate.training.saving import versions

WORDS, POSTERS = "newsembed@bag", "patch_atoms"
READERS = {"text": "pieces?length=96", "image": "pixels?side=32"}
BUILT_IN = {"text": "tfidf", "image": "image_stats"}
METRIC = "capped_recall@20"
CONTINUED = "newsembed:width=384;hard=0;tau=0.3;topics=100;neighbours=1;epochs=3"
TUNING = "partial:1"
KERNEL = "content_kernel:features=[text,image];sharpness=4;ridge=0.3;l2=300;mix=0.3;popularity=0.15;media={image: 0.6}"
VARIANTS = ("built-in", "untrained", "pretrained", "minilm", "continued")
GAPS = (("pretrained", "built-in"), ("pretrained", "untrained"), ("continued", "minilm"), ("pretrained", "minilm"))
SPLITS = {"inductive": "item_cold:seed={}", "transductive": "item_cold:seed={},transductive=true"}


def encoders(variant: str, data: Dataset, draw: int, folder: Path) -> Mapping[str, str]:
    """What reads plots and posters."""
    if variant == "built-in":
        return BUILT_IN
    if variant == "minilm":
        return {**BUILT_IN, "text": "minilm"}
    begun = variant == "continued"
    out: dict[str, str] = dict(BUILT_IN)
    for modality, spec in (("text", CONTINUED),) if begun else (("text", WORDS), ("image", POSTERS)):
        place = folder / modality
        if not (place / "pretrained.json").is_file():
            model = parse(spec, pretrainers, {"epochs": 0} if variant == "untrained" else None)
            more: dict[str, Any] = {"readers": READERS}
            if begun:
                more = {"start": {"text": "minilm"}, "tuning": TUNING, "pretrained_lr": 1.0}
            pretrain(model, data, place, seed=draw, store=WORK / "store" / "movies", **more)
        out[modality] = str(place / modality)
    return out


def measure(variant: str, split: str, draw: int) -> NDArray[np.float64]:
    """The metric of each test user."""
    folder = WORK / "catalogue" / split / f"{variant}-{draw}"
    data = palate.load(real("movies"), split=SPLITS[split].format(draw))
    made = encoders(variant, data, draw, folder / "encoders")
    compare(data, [KERNEL], folder, seeds=[draw], encoders=made, store=WORK / "store" / "movies")
    (file,) = (folder / "cells").glob("*/test-0.npz")
    with np.load(file, allow_pickle=False) as saved:
        found: NDArray[np.float64] = saved[METRIC]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--split", choices=SPLITS, default="inductive")
    parser.add_argument("--only", default=",".join(VARIANTS))
    args = parser.parse_args()
    set_mode("plain")
    names = args.only.split(",")
    jobs = [(variant, draw) for draw in range(args.draws) for variant in names]
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for variant, draw in track(jobs, "cells"):
        values[variant].append(measure(variant, args.split, draw))
    table = {name: [float(v.mean()) for v in found] for name, found in values.items()}
    gaps = {f"{a} - {b}": vars(compare_paired(values[a], values[b])) for a, b in GAPS if a in values and b in values}
    result = {
        "metric": METRIC, "split": args.split, "draws": args.draws, "by draw": table, "gaps": gaps,
        "systems": {"text": WORDS, "image": POSTERS, "continued": CONTINUED, "tuning": TUNING}, "readers": READERS,
        "kernel": KERNEL, "versions": versions(),
        "command": command_line(),
    }  # fmt: skip
    lines = [f"# Movies, new items, {args.split}: {METRIC} over {args.draws} draws", "", "| encoders | mean | sd |"]
    lines += ["|---|---|---|", *(f"| {n} | {np.mean(v):.4f} | {np.std(v, ddof=1):.4f} |" for n, v in table.items())]
    lines += ["", "| gap | mean | 95 % | p |", "|---|---|---|---|"]
    lines += [
        f"| {n} | {g['difference']:+.4f} | {g['low']:+.4f}, {g['high']:+.4f} | {g['p_value']:.4f} |"
        for n, g in gaps.items()
    ]
    keep(f"catalogue-{args.split}", result, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
