"""What pictures add to click-through prediction, and by which of the methods' own parts, in worlds of advertisements.

    python benchmarks/ctr_points_pictures.py [--worlds 3] [--first 41] [--arms dicm cscnn hccm] [--table]

Worlds of the preset ``ads``: what sells differs by category, and rivals stand beside the advertised object, which is in
the region of its category. All arms share fields, budget and stopping rule; settings were chosen on the validation part
of world 40. ``dicm`` reads vectors of EfficientNet-Lite0, ``hccm`` its last maps, ``cscnn`` pixels of 32 x 32 end to
end. Differences are paired by user, with the worlds in the error: a user's part in the AUC is its influence on it (see
``ctr.py``). "Unseen" are items without a training event. Each cell is kept under PALATE_WORK, so that a stopped run
goes on. Written: ``results/ctr_points_pictures.*``.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palate
from _common import WORK, keep
from ctr import influences
from palate.contracts.parse import parse_model
from palate.core.files import read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.evaluation.openings import one_opening
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_all
from palate.metrics.impressions import grouped_metrics
from palate.simulation.world import World
from palate.training.fit import fit
from palate.training.saving import versions

Floats = NDArray[np.float64]
SIZES: dict[str, Any] = {"n_items": 300, "n_users": 500, "interactions_per_user": 8.0, "image_size": 64}
SPLIT = "temporal:test=0.2,valid=0.1"
FIELDS = "fields=[user,item,item.category,item.subcategory,context.slot]"
STEPS = "batch_size=256;lr=0.01;weight_decay=1;epochs=20;patience=4"
COMMON = f"{FIELDS};content=false;counters=none;negatives=4;longest=20;{STEPS}"
PLANS = {
    "none": {}, "vectors": {"image.vectors": "efficientnet_lite0"},
    "maps": {"image.maps": "efficientnet_lite0?output=map"}, "pixels": {"image.pixels": "pixels?side=32"},
}  # fmt: skip
DICM = {name: f"aggregator={name}" for name in ("concat", "sum", "max", "attentive", "multi_query")}
HCCM = "reduce=32;widths=[32]"
ARMS: dict[str, tuple[str, str]] = {
    "dicm, no pictures": ("none", "dicm:pictures=none"),
    "dicm, ad": ("vectors", "dicm:pictures_of=ad"),
    "dicm, behaviour": ("vectors", "dicm:pictures_of=behaviour"),
    **{f"dicm, {name}": ("vectors", f"dicm:{setting}") for name, setting in DICM.items()},
    "cscnn, no pictures": ("none", "cscnn:pictures=none"),
    **{f"cscnn, {kind}": ("pixels", f"cscnn:attention={kind}") for kind in ("none", "se", "cbam", "category")},
    "hccm, no pictures": ("none", "hccm:pictures=none"),
    "hccm, no category": ("maps", f"hccm:{HCCM};prior=false"),
    "hccm": ("maps", f"hccm:{HCCM}"),
}  # fmt: skip
"""Name -> what is encoded, model."""
WHOLE = {"dicm": "dicm, multi_query", "cscnn": "cscnn, category", "hccm": "hccm"}
METRICS = ("auc", "gauc", "auc unseen", "gauc unseen")


@cache
def world(seed: int) -> Dataset:
    """The advertisements of a world."""
    made = World.make("ads", seed=seed, **SIZES)
    folder = WORK / "worlds" / f"ads-{seed}-{made.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        made.write(folder, overwrite=True)
    return palate.load(folder, split=SPLIT)


def stored(name: str, seed: int) -> Path:
    """Where a cell is kept."""
    return WORK / "ctr_points_pictures" / f"{name.replace(',', '').replace(' ', '-')}-{seed}.json"


def cell(name: str, seed: int) -> dict[str, Any]:
    """One fit and its scores of all test events, made once."""
    file = stored(name, seed)
    if not file.is_file():
        encoded, settings = ARMS[name]
        data = world(seed)
        others = dict.fromkeys(data.items.modalities, "none")
        plan = others | PLANS[encoded]
        if PLANS[encoded]:
            plan.pop("image")
        content = plan_content(data, plan, WORK / "store" / "ctr_points_pictures")
        with one_opening(command_line()):
            model = fit(parse_model(f"{settings};{COMMON}"), data, seed=seed, content=content, refit=False)
            judged = evaluate(model, data)
        log = model.deployment.log  # type: ignore[attr-defined]
        seconds = sum(record["cpu_seconds"] for record in log.history)
        about = {"valid": log.valid, "epochs": len(log.history), "cpu_seconds": seconds, "trained": log.trained}
        write_json(file, {"scores": np.asarray(judged.answers).tolist(), **about})
    found: dict[str, Any] = read_json(file)
    return found


def values(seed: int, scores: Floats) -> dict[str, Floats]:
    """Each metric, a value for each user (AUC) or impression with a click (GAUC)."""
    data = world(seed)
    questions = data.test_events()
    known = np.bincount(data.select_view().events.item, minlength=data.n_items) > 0
    out = {}
    for kind, rows in {"": np.ones(len(scores), bool), " unseen": ~known[questions.events.item]}.items():
        labels = questions.events.label[rows] > 0
        out[f"auc{kind}"] = influences(labels, scores[rows], questions.events.user[rows])
        # of users, since an impression is cut where only unseen items count
        inside = grouped_metrics(labels, scores[rows], questions.events.user[rows])["group_auc"]
        out[f"gauc{kind}"] = inside[np.isfinite(inside)]
    return out


def study(arms: list[str], seeds: list[int]) -> dict[str, Any]:
    """Fit what is missing, then judge and compare everything that is there."""
    for seed in track(seeds, "worlds"):
        for name in arms:
            cell(name, seed)
    done = [name for name in ARMS if all(stored(name, seed).is_file() for seed in seeds)]
    cells = {name: [cell(name, seed) for seed in seeds] for name in done}
    each = {name: [values(seed, np.asarray(one["scores"])) for seed, one in zip(seeds, cells[name])] for name in done}
    rows = {
        name: {metric: [float(found[metric].mean()) for found in each[name]] for metric in METRICS}
        | {key: [one[key] for one in cells[name]] for key in ("valid", "epochs", "cpu_seconds", "trained")}
        for name in done
    }
    tests: dict[str, Any] = {}
    for family, whole in WHOLE.items():
        others = [name for name in done if name.startswith(family) and name != whole]
        if whole in done and others:
            tests[whole] = {}
            for metric in METRICS:
                against = {name: [found[metric] for found in each[name]] for name in others}
                found = compare_all([one[metric] for one in each[whole]], against)
                tests[whole][metric] = {name: asdict(test) for name, test in found.items()}
    first = world(seeds[0])
    return {
        "worlds": {str(seed): world(seed).hash for seed in seeds}, "sizes": SIZES, "split": SPLIT, "common": COMMON,
        "arms": {name: ARMS[name][1] for name in done}, "events": len(first.select_view().events), "rows": rows,
        "tests": tests, "versions": versions(), "command": command_line(),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# Pictures in click-through prediction", "",
        f"`{result['command']}`; worlds {', '.join(result['worlds'])} of the preset `ads`, about {result['events']:,} "
        "training events each. GAUC: AUC within users, mean over users. Unseen: items without a training event.", "",
        "| arm | AUC | GAUC | AUC, unseen | GAUC, unseen | trained weights | CPU s |", "|---" * 7 + "|",
    ]  # fmt: skip
    for name, row in result["rows"].items():
        cells = [f"{np.mean(row[metric]):.4f}" for metric in METRICS]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {int(np.mean(row['trained'])):,} | {np.mean(row['cpu_seconds']):.0f} |"
        )
    for whole, found in result["tests"].items():
        lines += [
            "", f"What {whole} gains over the others, with 95 % intervals over users and worlds, and Holm's p:", "",
            "| against | AUC | GAUC | AUC, unseen | GAUC, unseen |", "|---" * 5 + "|",
        ]  # fmt: skip
        for name in found["auc"]:
            cells = [
                f"{-one['difference']:+.4f} [{-one['high']:+.4f}, {-one['low']:+.4f}], {one['p_adjusted']:.2g}"
                for one in (found[metric][name] for metric in METRICS)
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=list(WHOLE), default=list(WHOLE))
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--first", type=int, default=41)
    parser.add_argument("--table", action="store_true", help="only judge the cells that are there")
    args = parser.parse_args()
    set_mode("plain")
    (WORK / "ctr_points_pictures").mkdir(parents=True, exist_ok=True)
    arms = [] if args.table else [name for name in ARMS if name.startswith(tuple(args.arms))]
    result = study(arms, list(range(args.first, args.first + args.worlds)))
    keep("ctr_points_pictures", result, table(result))


if __name__ == "__main__":
    main()
