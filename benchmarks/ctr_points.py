"""What each multimodal click model is for: the whole against itself without one part, on simulated advertisements.

    python benchmarks/ctr_points.py [--worlds 3] [--first 301] [--points em3 ...] [--table]

Worlds of the preset ``ads``, small and with more clicks than usual, whose modalities are given as vectors. All arms
share SETTINGS, which no arm was tuned for; of the fields they read ids alone, so that modalities say what an item is.
Validation stops training; test is opened once an arm and world. A value a user (its influence on the AUC, see
``ctr.py``) is compared in pairs, with worlds as draws in the error. "Unseen" are items without a training event. Cells
are kept under PALATE_WORK, so that a stopped run goes on. To add a point, add a line to POINTS. Written:
``results/ctr_points.*``.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import palate
from _common import WORK, keep
from ctr import Floats, influences
from palate.contracts.parse import parse_model
from palate.core.content import Features
from palate.core.files import digest, read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_paired, holm
from palate.metrics.impressions import grouped_metrics
from palate.simulation.world import World
from palate.training.fit import fit
from palate.training.saving import versions

SIZES = {
    "n_items": 300, "n_users": 300, "interactions_per_user": 10.0, "click_bias": -4.0, "signal": 6.0,
    "media": False, "given_features": True, "feature_noise": 0.1, "new_items": 0.4,
}  # fmt: skip
MODALITIES = ("image", "text", "detail", "sitelinks")
SETTINGS = "fields=[user,item];dim=16;counters=none;longest=10;batch_size=1024;lr=0.005;epochs=6;patience=3"
METRICS = ("AUC", "GAUC", "AUC, unseen")


@dataclass(frozen=True)
class Point:
    """Two arms that differ by one part.

    Attributes:
        model: whose point it is.
        claim: what the part is for.
        whole: model and settings with the part.
        without: the same without it.
    """

    model: str
    claim: str
    whole: str
    without: str


POINTS = (
    Point("em3", "modalities tell more than ids and fields", "em3", "din:content=false"),
    Point("em3", "learnt queries fuse modalities better than their mean", "em3", "em3:queries=0"),
    Point("em3", "the contrast of content and id helps", "em3", "em3:contrast=0"),
    Point("em3", "a low-rank update of frozen maps does as well as trained maps", "em3:rank=4", "em3"),
    Point("marn", "discriminators make invariant parts that help", "marn", "marn:adversarial=0"),
    Point("marn", "specific and invariant parts are better orthogonal", "marn", "marn:orthogonality=0"),
    Point("ppm_ranker", "the plug-in helps the ranker", "ppm_ranker", "ppm_ranker:pretrained=none"),
    Point("ppm_ranker", "pretraining helps the plug-in", "ppm_ranker", "ppm_ranker:pretrained=random"),
    Point("ppm_ranker", "the plug-in is better trained along", "ppm_ranker", "ppm_ranker:pretrained=frozen"),
    Point("tavern", "visual preference helps", "tavern", "tavern:preference=false"),
    Point("tavern", "preference and noise are better orthogonal", "tavern", "tavern:orthogonality=0"),
    Point("gmmf", "the difference from the id tells more than the modality", "gmmf", "gmmf:difference=false"),
    Point("m3srec", "modalities need experts of their own", "m3srec", "m3srec:specific=false"),
    Point("m3srec", "several experts are better than one", "m3srec", "m3srec:experts=1"),
    Point("urm", "self-attention over behaviours helps", "urm", "urm:layers=0"),
    Point("main", "several interests are better than one", "main", "main:interests=1"),
    Point("cross_encoder", "history and candidate should meet early", "cross_encoder", "cross_encoder:joint=late"),
    Point("cross_encoder", "they should meet as modalities", "cross_encoder", "cross_encoder:joint=intermediate"),
)


def arm(spec: str) -> str:
    """The model with the settings that all arms share."""
    return f"{spec}{';' if ':' in spec else ':'}{SETTINGS}"


@lru_cache(maxsize=8)
def data(seed: int) -> Dataset:
    """A world, made once."""
    world = World.make("ads", seed=seed, **SIZES)
    folder = WORK / "worlds" / f"ads-{seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    vectors = {}
    for modality in MODALITIES:
        values, present = (
            np.load(folder / "features" / f"{modality}{part}.npy", allow_pickle=False) for part in ("", "_present")
        )
        vectors[modality] = Features(values, present, identity=f"given:{folder.name}-{modality}")
    return palate.load(folder).with_features(vectors)


def stored(spec: str, seed: int) -> Path:
    """Where a cell is kept."""
    return WORK / "ctr-points" / f"{seed}-{digest(arm(spec), str(SIZES))[:16]}.json"


def cell(spec: str, seed: int) -> dict[str, Any]:
    """One fit and its scores of all test events, made once."""
    file = stored(spec, seed)
    if not file.is_file():
        plan = plan_content(data(seed), {"attributes": "none"}, WORK / "store" / "ctr-points")
        model = fit(parse_model(arm(spec)), data(seed), seed=seed, content=plan)
        judged = evaluate(model, data(seed))
        log = model.deployment.log  # type: ignore[attr-defined]
        about = {"valid": log.valid, "epochs": len(log.history), "seconds": sum(r["cpu_seconds"] for r in log.history)}
        write_json(file, {"scores": np.round(judged.answers, 6).tolist(), "arm": arm(spec), **about})
    return read_json(file)


def values(spec: str, seed: int) -> dict[str, Floats]:
    """Metric -> a value a user, whose mean is the metric."""
    scores, questions = np.asarray(cell(spec, seed)["scores"]), data(seed).test_events()
    labels, users = questions.events.label > 0, questions.groups
    known = np.bincount(data(seed).select_view().events.item, minlength=data(seed).n_items) > 0
    unseen = ~known[questions.events.item]
    inside = grouped_metrics(labels, scores, users)["group_auc"]
    return {
        "AUC": influences(labels, scores, users),
        "GAUC": inside[np.isfinite(inside)],
        "AUC, unseen": influences(labels[unseen], scores[unseen], users[unseen]),
    }


def study(points: list[Point], seeds: list[int], run: bool) -> dict[str, Any]:
    """Fit what is missing, then compare the points whose cells are all there."""
    arms = list(dict.fromkeys(spec for point in points for spec in (point.whole, point.without)))
    by_arm: dict[str, list[dict[str, Floats]]] = {spec: [] for spec in arms}
    about: dict[str, Any] = {}
    for spec in track(arms, "arms"):
        for seed in seeds:
            if run or stored(spec, seed).is_file():
                by_arm[spec].append(values(spec, seed))
    by_arm = {spec: found for spec, found in by_arm.items() if len(found) == len(seeds)}
    for spec in by_arm:
        cells = [cell(spec, seed) for seed in seeds]
        about[spec] = {key: [one[key] for one in cells] for key in ("valid", "epochs", "seconds")} | {
            metric: [float(one[metric].mean()) for one in by_arm[spec]] for metric in METRICS
        }
    rows = []
    for point in points:
        if point.whole in by_arm and point.without in by_arm:
            tests = {
                metric: compare_paired(*([one[metric] for one in by_arm[s]] for s in (point.whole, point.without)))
                for metric in METRICS
            }
            rows.append({**asdict(point), "tests": {metric: asdict(one) for metric, one in tests.items()}})
    for metric in METRICS:
        adjusted = holm([row["tests"][metric]["p_value"] for row in rows]) if rows else []
        for row, p in zip(rows, adjusted):
            row["tests"][metric]["p_adjusted"] = float(p)
    return {
        "preset": "ads", "sizes": SIZES, "settings": SETTINGS, "worlds": seeds,
        "hashes": [data(seed).hash for seed in seeds], "events": [len(data(s).select_view().events) for s in seeds],
        "arms": about, "points": rows, "not measured": [point.claim for point in points if point.whole not in by_arm
        or point.without not in by_arm], "versions": versions(), "command": command_line(),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    events = f"{min(result['events']):,} to {max(result['events']):,}"
    lines = [
        "# Points of multimodal click models", "",
        f"`{result['command']}`: {len(result['worlds'])} worlds of the preset `ads`, {events} training events each; "
        f"`{result['settings']}` for every arm. Difference of the whole and the arm without the part, with 95 % "
        "intervals over users and worlds, and Holm's p over all rows of a column. GAUC: AUC within users. Unseen: "
        "items without a training event.", "",
        "| point | whole | without | " + " | ".join(METRICS) + " |", "|---" * (3 + len(METRICS)) + "|",
    ]  # fmt: skip
    for row in result["points"]:
        cells = [
            f"{one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}], {one['p_adjusted']:.2g}"
            for one in (row["tests"][metric] for metric in METRICS)
        ]
        lines.append(f"| {row['claim']} | `{row['whole']}` | `{row['without']}` | {' | '.join(cells)} |")
    lines += ["", "| arm | " + " | ".join(METRICS) + " | epochs | CPU s |", "|---" * (3 + len(METRICS)) + "|"]
    for spec, about in result["arms"].items():
        cells = [f"{np.mean(about[metric]):.4f} ± {np.std(about[metric], ddof=1):.4f}" for metric in METRICS]
        lines.append(
            f"| `{spec}` | {' | '.join(cells)} | {np.mean(about['epochs']):.1f} | {np.mean(about['seconds']):.1f} |"
        )
    if result["not measured"]:
        lines += ["", f"Not measured yet: {'; '.join(result['not measured'])}."]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--first", type=int, default=301)
    parser.add_argument("--points", nargs="+", choices=sorted({point.model for point in POINTS}), default=None)
    parser.add_argument("--table", action="store_true", help="only judge the cells that are there")
    args = parser.parse_args()
    set_mode("plain")
    (WORK / "ctr-points").mkdir(parents=True, exist_ok=True)
    points = [point for point in POINTS if args.points is None or point.model in args.points]
    result = study(points, list(range(args.first, args.first + args.worlds)), not args.table)
    keep("ctr_points", result, table(result))


if __name__ == "__main__":
    main()
