"""Ways to adapt an encoder x where modalities meet, on item-cold movies: quality against what each costs.

    python benchmarks/adaptation.py [--draws 3] [--model clcrec] [--tuning frozen,lora:8] [--fusion late,early]

For each draw the encoders are pretrained on what the split shows (``--pretrainer``; ``--text minilm`` takes a sentence
encoder as it comes instead; what was not pretrained is read as it comes), then the model is fitted with every tuning
and every fusion. A cell that is done is not run again, under PALATE_WORK; ``--data FOLDER`` takes another catalogue.
Written: ``results/adaptation*.{json,md,svg}``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import palate
from _common import RESULTS, WORK, keep, real
from palate.contracts import parse, pretrainers
from palate.core.files import read_json
from palate.core.progress import set_mode
from palate.data.dataset import Dataset
from palate.evaluation.compare import compare
from palate.metrics.bootstrap import compare_paired
from palate.training.pretrain import pretrain

MODEL = "clcrec:dim=32;batch_size=2048;candidates=256;lr=0.015;epochs=5;patience=5"
PRETRAINER = "newsembed:dim=32;layers=2;lr=0.003;batch_size=256;hard=0;tau=0.3;topics=100;ranges=10;epochs=30"
TUNING = ("frozen", "partial:1", "full", "lora:8", "adapter:16", "prompt:8")
FUSION = ("late", "intermediate", "early")
READERS = {"text": "pieces?length=32", "image": "pixels?side=32"}
"""Short and small: a tower that is trained with the model reads every item of every batch."""
AS_IT_COMES = {"image": "image_stats"}
"""Where nothing was pretrained."""
METRIC = "capped_recall@20"
COSTS = {"trained": "trained parameters", "fit seconds": "seconds", "peak MiB": "peak MiB", "stored MiB": "stored MiB"}
COLOURS = dict(
    zip(("frozen", "partial", "full", "lora", "adapter", "prompt"), (*"krb", "#c77f12", "#2a8a57", "#8a4fb0"))
)
MARKS = {"late": "o", "intermediate": "s", "early": "^"}


def encoders(data: Dataset, pretrainer: str, text: str | None, work: Path, draw: int) -> dict[str, str]:
    """Modality -> encoder of this draw; pretrained on what its split shows, once."""
    folder = work / "encoders" / f"draw-{draw}"
    if not (folder / "pretrained.json").is_file():
        model, file = parse(pretrainer, pretrainers), f"{folder}.checkpoint"
        pretrain(model, data, folder, seed=draw, readers=READERS, store=work / "store", checkpoint=file)
    found = {part.name: str(part) for part in folder.iterdir() if part.is_dir()}
    found = {modality: found.get(modality, AS_IT_COMES.get(modality, "none")) for modality in data.items.modalities}
    return found if text is None else {**found, "text": text}


def cells(folder: Path) -> dict[str, np.ndarray]:
    """Variant -> its users' metric in the test part of one draw."""
    found = {}
    for file in (folder / "cells").glob("*/cell.json"):
        if (file.parent / "test-0.npz").is_file():
            with np.load(file.parent / "test-0.npz", allow_pickle=False) as saved:
                found[read_json(file)["model"]] = saved[METRIC]
    return found


def grid(data: Dataset, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Rows (tuning, fusion, quality, costs, difference to frozen and late) over all draws."""
    tuning, fusion = args.tuning.split(","), args.fusion.split(",")
    by_draw, values = [], []
    for draw in range(args.draws):
        drawn = data.with_split(data.spec.model_copy(update={"seed": draw}))
        used = encoders(drawn, args.pretrainer, args.text, work, draw)
        out = work / f"draw-{draw}"
        axes = {"tuning": tuning, "fusion": fusion}
        by_draw.append(compare(data, [args.model], out, seeds=(draw,), axes=axes, encoders=used, store=work / "store"))
        values.append(cells(out))
    rows = []
    for place, row in enumerate(by_draw[0]["table"]):
        variant, same = row["model"], [result["table"][place] for result in by_draw]
        means = [one[METRIC] for one in same]
        found = {"tuning": tuning[place // len(fusion)], "fusion": fusion[place % len(fusion)], "model": variant}
        found |= {METRIC: float(np.mean(means)), "by draw": means}
        found |= {cost: float(np.mean([one[cost] for one in same])) for cost in COSTS}
        rows.append(found)
    base = rows[0]["model"]
    for row in rows[1:]:
        paired = compare_paired([v[row["model"]] for v in values], [v[base] for v in values])
        row["against first"] = vars(paired)
    keys = ("data", "hash", "positive", "mask", "command", "versions", "threads")
    about = {key: by_draw[0][key] for key in keys} | {"split": str(data.spec), "draws": args.draws}
    return about | {"pretrainer": args.pretrainer, "text": args.text, "table": rows}


def markdown(result: dict[str, Any]) -> str:
    """The grid as a table for people."""
    head = [METRIC, "- first row [95 %]", *COSTS.values()]
    lines = [f"# {result['data']}: {result['split']}, {result['draws']} draws, encoders: {result['pretrainer']}", ""]
    lines += [f"| tuning | fusion | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for row in result["table"]:
        test = row.get("against first")
        gap = f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}]" if test else ""
        costs = f"{row['trained']:,.0f} | {row['fit seconds']:.0f} | {row['peak MiB']:.0f} | {row['stored MiB']:.1f}"
        lines.append(f"| {row['tuning']} | {row['fusion']} | {row[METRIC]:.4f} | {gap} | {costs} |")
    return "\n".join([*lines, "", f"`{result['command']}`", ""])


def draw_plot(rows: list[dict[str, Any]], out: Path) -> None:
    """Quality against each cost, an SVG; colour is the tuning, shape the fusion, short lines the draws."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "palate", "font.family": "sans-serif", "font.size": 9}
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 6.6), sharey=True)
    for axis, (cost, label) in zip(axes.flat, COSTS.items()):
        for row in rows:
            colour = COLOURS[row["tuning"].partition(":")[0]]
            axis.plot([row[cost]] * 2, [min(row["by draw"]), max(row["by draw"])], color=colour, linewidth=0.7)
            axis.plot(row[cost], row[METRIC], MARKS[row["fusion"]], color=colour, markersize=6)
        axis.set_xscale("log")
        axis.set_xlabel(label)
        axis.set_ylabel(METRIC)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    kinds = dict.fromkeys(row["tuning"].partition(":")[0] for row in rows)
    marks = dict.fromkeys(row["fusion"] for row in rows)
    handles = [plt.Line2D([], [], color=COLOURS[kind], marker="o", linestyle="", label=kind) for kind in kinds]
    handles += [plt.Line2D([], [], color="grey", marker=MARKS[mark], linestyle="", label=mark) for mark in marks]
    figure.legend(handles=handles, ncols=len(handles), loc="upper center", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--model", default=MODEL, help="name:key=value;key=value")
    parser.add_argument("--pretrainer", default=PRETRAINER, help="name:key=value;key=value")
    parser.add_argument("--text", default=None, help="an encoder of texts in place of the pretrained one")
    parser.add_argument("--tuning", default=",".join(TUNING))
    parser.add_argument("--fusion", default=",".join(FUSION))
    parser.add_argument("--data", default=None, help="a folder; default: movies")
    parser.add_argument("--name", default="adaptation", help="of the files in benchmarks/results")
    args = parser.parse_args()
    set_mode("plain")
    data = palate.load(args.data or real("movies"), split="item_cold")
    result = grid(data, args, WORK / args.name)
    keep(args.name, result, markdown(result))
    draw_plot(result["table"], RESULTS / f"{args.name}.svg")


if __name__ == "__main__":
    main()
