"""Movies nobody has seen: encoders pretrained on the catalogue itself against what they have to beat.

    python benchmarks/catalogue.py [--draws 10] [--split inductive|transductive]

Everything but the encoders is equal: ``content_kernel`` on the vectors of plots and posters alone, chosen on
validation, refitted, test opened once a draw. ``pretrained``: words by ``newsembed@bag`` (topics and co-liked films),
posters by ``clip``; ``untrained``: the same towers as they are drawn; ``built-in``: tf-idf and descriptors of colours
and gradients.
Settings were chosen on the validation part of draws 100 to 102. Cells are kept under PALATE_WORK.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

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

WORDS, POSTERS = "newsembed@bag", "clip:layers=1;dim=96;epochs=10"
READERS = {"text": "pieces?length=96", "image": "pixels?side=64"}
BUILT_IN = {"text": "tfidf", "image": "image_stats"}
METRIC = "capped_recall@20"
VARIANTS = ("built-in", "untrained", "pretrained", "minilm")
SPLITS = {"inductive": "item_cold:seed={}", "transductive": "item_cold:seed={},transductive=true"}


def encoders(variant: str, data: Dataset, draw: int, folder: Path) -> Mapping[str, str]:
    """What reads plots and posters."""
    if variant == "built-in":
        return BUILT_IN
    if variant == "minilm":
        return {**BUILT_IN, "text": "minilm"}
    out = {}
    for modality, spec in (("text", WORDS), ("image", POSTERS)):
        place = folder / modality
        if not (place / "pretrained.json").is_file():
            model = parse(spec, pretrainers, {"epochs": 0} if variant == "untrained" else None)
            pretrain(model, data, place, seed=draw, readers=READERS, store=WORK / "store" / "movies")
        out[modality] = str(place / modality)
    return out


def measure(variant: str, split: str, draw: int) -> NDArray[np.float64]:
    """The metric of each test user."""
    folder = WORK / "catalogue" / split / f"{variant}-{draw}"
    data = palate.load(real("movies"), split=SPLITS[split].format(draw))
    made = encoders(variant, data, draw, folder / "encoders")
    model = "content_kernel:features=[text,image]"
    compare(data, [model], folder, seeds=[draw], encoders=made, store=WORK / "store" / "movies")
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
    gaps = {
        f"pretrained - {name}": vars(compare_paired(values["pretrained"], values[name]))
        for name in names
        if name != "pretrained" and "pretrained" in names
    }
    result = {
        "metric": METRIC, "split": args.split, "draws": args.draws, "by draw": table, "gaps": gaps,
        "systems": {"text": WORDS, "image": POSTERS}, "readers": READERS, "versions": versions(),
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
