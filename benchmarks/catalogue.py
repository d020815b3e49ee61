"""Movies nobody has seen: encoders pretrained on the catalogue itself against what they have to beat.

    python benchmarks/catalogue.py [--draws 10] [--split inductive|transductive]

Everything but the encoders is equal: ``content_kernel`` on the vectors of plots and posters alone, with settings that
suit the built-in descriptors, refitted, test opened once a draw. ``built-in``: tf-idf and descriptors of colours and
gradients; ``pretrained``: ``attribute_ridge`` on both; ``untrained``: its maps as drawn; ``minilm``: a sentence
encoder as it comes, with the descriptors; ``continued``: its last layer trained further by ``newsembed``; ``taught``:
``attribute_ridge`` on it and on the descriptors.
Settings were chosen on draws 100 to 107, where test was looked at too. Cells are kept under PALATE_WORK.
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
from palate.contracts import parse, pretrainers
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.compare import compare
from palate.evaluation.runs import command_line
from palate.metrics.bootstrap import compare_paired
from palate.training.pretrain import pretrain
from palate.training.saving import versions

PRETRAINED = "attribute_ridge"
TAUGHT = "attribute_ridge:weight=0.5"
BUILT_IN = {"text": "tfidf", "image": "image_stats"}
METRIC = "capped_recall@20"
CONTINUED = "newsembed:width=384;hard=0;tau=0.3;topics=100;neighbours=1;epochs=3"
TUNING = "partial:1"
KERNEL = "content_kernel:features=[text,image];sharpness=4;ridge=0.3;l2=300;mix=0.3;popularity=0.15;media={image: 0.6}"
VARIANTS = ("built-in", "untrained", "pretrained", "minilm", "continued", "taught")
GAPS = (
    ("pretrained", "built-in"), ("pretrained", "untrained"), ("continued", "minilm"), ("taught", "minilm"),
    ("pretrained", "minilm"),
)  # fmt: skip
SPLITS = {"inductive": "item_cold:seed={}", "transductive": "item_cold:seed={},transductive=true"}


def encoders(variant: str, data: Dataset, draw: int, folder: Path) -> Mapping[str, str]:
    """What reads plots and posters."""
    if variant == "built-in":
        return BUILT_IN
    if variant == "minilm":
        return {**BUILT_IN, "text": "minilm"}
    if variant == "continued":
        found = trained(
            CONTINUED, data, draw, folder / variant, {}, start={"text": "minilm"}, tuning=TUNING, pretrained_lr=1.0
        )
        return {**BUILT_IN, **found}
    still = {"epochs": 0} if variant == "untrained" else {}
    spec, readers = (TAUGHT, {**BUILT_IN, "text": "minilm"}) if variant == "taught" else (PRETRAINED, BUILT_IN)
    return trained(spec, data, draw, folder / variant, still, readers=readers)


def trained(spec: str, data: Dataset, draw: int, out: Path, settings: Mapping[str, Any], **more: Any) -> dict[str, str]:
    """Modality -> encoder, pretrained on what the split shows unless it was before."""
    if not (out / "pretrained.json").is_file():
        model = parse(spec, pretrainers, settings)
        pretrain(model, data, out, seed=draw, store=WORK / "store" / "movies", **more)
    return {part.name: str(part) for part in out.iterdir() if part.is_dir()}


def measure(variant: str, split: str, draw: int) -> NDArray[np.float64]:
    """The metric of each test user."""
    home = WORK / "catalogue" / split
    folder = home / f"{variant}-{draw}"
    data = palate.load(real("movies"), split=SPLITS[split].format(draw))
    made = encoders(variant, data, draw, home / "encoders" / str(draw))
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
        "systems": {"pretrained": PRETRAINED, "taught": TAUGHT, "continued": CONTINUED, "tuning": TUNING},
        "kernel": KERNEL, "versions": versions(), "command": command_line(),
    }  # fmt: skip
    keep(f"catalogue-{args.split}", result, page(result))


def page(result: dict[str, Any]) -> str:
    """The tables for people.

    Args:
        result: values by draw, and gaps.
    """
    table, gaps = result["by draw"], result["gaps"]
    lines = [
        f"# Movies, new items, {result['split']}: {METRIC} over {result['draws']} draws",
        "",
        "| encoders | mean | sd |",
    ]
    lines += ["|---|---|---|", *(f"| {n} | {np.mean(v):.4f} | {np.std(v, ddof=1):.4f} |" for n, v in table.items())]
    lines += ["", "| gap | mean | 95 % | p |", "|---|---|---|---|"]
    lines += [
        f"| {n} | {g['difference']:+.4f} | {g['low']:+.4f}, {g['high']:+.4f} | {g['p_value']:.4f} |"
        for n, g in gaps.items()
    ]
    return "\n".join([*lines, "", "Intervals are over draws (Student's t).", ""])


if __name__ == "__main__":
    main()
