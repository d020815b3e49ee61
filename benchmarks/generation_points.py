"""Every generator against its own ablation, in one table.

    python benchmarks/generation_points.py [png page ...] [--seeds 3] [--first 21] [--development] [--table]

A point (``benchmarks/points_generate/*.py``) is a claim, the ablations that lack only what it is about, data, and a
judge, all written down before the reported seeds, 21 to 23, were run; settings were chosen on seed 1 (those of VIP5 on
11 to 13, too, where six epochs of adapters were too few in one of three worlds). Each seed has a world (a draw of
held-out films) and trainings of its own. Cells are kept under PALATE_WORK, so that a run that was stopped goes on; rows
of systems that are not named stay as they were. What other result files measured of generators is shown below; a file
that does not exist is shown as not measured. ``--development`` writes nothing but cells.
Written: ``results/generation_points.*``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from _common import RESULTS, ROOT, WORK, keep
from _generator_points import Point, Values
from _measured_elsewhere import elsewhere
from palate.contracts import generators, parse
from palate.core.files import digest, read_json, write_json
from palate.core.progress import set_mode, track
from palate.evaluation.code_version import code_version
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_paired, holm
from palate.training.saving import versions

CELLS = WORK / "generation_points"
ALPHA = 0.05


@cache
def points() -> list[Point]:
    """What the files beside this one claim."""
    folder, found = ROOT / "benchmarks" / "points_generate", list[Point]()
    for file in sorted(folder.glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"generator_point_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.POINTS
    return found


def measure(point: Point, arm: str, seed: int) -> dict[str, Any]:
    """Fit and judge an arm by all points that have it on these data; kept in a cell."""
    text = point.arms[arm]
    if not text:
        assert point.chance is not None
        return {"values": _plain(point.chance(seed))}
    data = f"{point.data.__module__}.{point.data.__name__}"
    cell = CELLS / f"{digest(point.system, text, data, str(seed))}.json"
    kept = read_json(cell) if cell.is_file() else {}
    if point.name not in kept.get("points", {}):
        started = time.process_time()
        dataset = point.data(seed)
        # of all content these systems read pictures alone as vectors
        others = dict.fromkeys(set(dataset.items.modalities) - {"image"}, "none")
        plan = plan_content(dataset, others, WORK / "store")
        model = parse(text, generators).fit(dataset, seed=seed, content=plan, refit=False)
        kept = {
            "data": dataset.hash, "cpu_seconds": time.process_time() - started, "code": code_version(),
            "parameters": sum(one.numel() for one in model.parameters()),
            "trained last": sum(one.numel() for one in model.phases()[-1].parameters), "points": {},
        }  # fmt: skip
        said: dict[Any, Any] = {}
        for other in points():
            if other.system == point.system and other.data is point.data and text in other.arms.values():
                if other.judge not in said:
                    said[other.judge] = _plain(other.judge(model, seed))
                kept["points"][other.name] = {"values": said[other.judge], "example": other.example(model, seed)}
        write_json(cell, kept)
    return {**kept["points"][point.name], **{key: value for key, value in kept.items() if key != "points"}}


def row(point: Point, seeds: range) -> dict[str, Any]:
    """All arms of a point, and what the whole gains over each ablation."""
    cells = {arm: [measure(point, arm, seed) for seed in track(seeds, f"{point.system}: {arm}")] for arm in point.arms}
    values = {
        arm: {metric: [np.array(cell["values"][metric]) for cell in found] for metric in point.metrics}
        for arm, found in cells.items()
    }
    gains = {}
    for arm in list(point.arms)[1:]:
        for metric in point.metrics:
            found = compare_paired(values["whole"][metric], values[arm][metric])
            gains.setdefault(arm, {})[metric] = {
                "gain": found.difference, "low": found.low, "high": found.high, "p": found.p_value,
                "cases": found.n_users,
            }  # fmt: skip
    return {
        "system": point.system, "point": point.name, "claim": point.claim, "criterion": point.criterion,
        "real": point.real, "settings": dict(point.arms), "metrics": list(point.metrics),
        "arms": {
            arm: {metric: [float(one.mean()) for one in found] for metric, found in by.items()}
            for arm, by in values.items()
        },
        "gains": gains,
        "shown": all(found[point.metrics[0]]["low"] > -point.margin for found in gains.values()),
        "margin": point.margin,
        "example": cells["whole"][0]["example"],
        "written": {arm: found[0].get("example", {}).get("made") for arm, found in cells.items()},
        **{
            key: {arm: found[0].get(key) for arm, found in cells.items()}
            for key in ("parameters", "trained last", "cpu_seconds", "data", "code")
        },
    }  # fmt: skip


def verdict(row: dict[str, Any]) -> dict[str, Any]:
    """The p-value of a claim, and whether its contrary is shown; of several ablations the least clear one decides."""
    p, contrary = [], []
    for arm, found in row["gains"].items():
        one, draws = found[row["metrics"][0]], len(row["arms"][arm][row["metrics"][0]])
        p.append(_p_value(one["gain"] + row["margin"], (one["high"] - one["low"]) / 2, draws))
        contrary.append(one["high"] < -row["margin"])
    return {"p": max(p), "contradicted": any(contrary)}


def _p_value(gain: float, half: float, draws: int) -> float:
    """Two-sided, from the half width of a 95 % interval over draws; 1 where the sign is wrong, or of one draw."""
    if gain <= 0 or draws < 2:
        return 1.0
    return float(2 * stats.t.sf(gain / half * stats.t.ppf(0.975, draws - 1), draws - 1)) if half else 0.0


def _plain(values: Values) -> dict[str, list[float]]:
    return {name: [float(one) for one in found] for name, found in values.items()}


def page(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# Each generator against its own ablation", "",
        f"{len(result['seeds'])} seeds, each with a world and trainings of its own; gains of the whole paired by case "
        "within seeds, with 95 % intervals. The claim is about the metric that stands first.", "",
        "| system | claim | metric | whole | ablation | gain |", "|---" * 6 + "|",
    ]  # fmt: skip
    for one in result["rows"]:
        for arm, found in one["gains"].items():
            for metric, gain in found.items():
                whole, other = (np.mean(one["arms"][name][metric]) for name in ("whole", arm))
                interval = f"{gain['gain']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
                lines.append(
                    f"| {one['system']} | {one['claim'] if metric == one['metrics'][0] else ''} | {metric} | "
                    f"{whole:.3f} | {arm}: {other:.3f} | {interval} |"
                )
    names = [f"{one['system']} ({one['point']})" for one in result["rows"]]

    def listed(chosen: Callable[[dict[str, Any]], bool]) -> str:
        return ", ".join(name for name, one in zip(names, result["rows"], strict=True) if chosen(one)) or "none"

    lines += [
        "", f"- Shown by their criterion: {listed(lambda one: one['shown'])}.",
        f"- Of these after Holm's correction over all {len(names)} claims: "
        f"{listed(lambda one: one['shown'] and one['p, Holm'] < ALPHA)}.",
        f"- Contradicted (the interval lies below): {listed(lambda one: one['contradicted'])}.",
        f"- Open: {listed(lambda one: not one['shown'] and not one['contradicted'])}.", "",
        "An arm by chance is not trained: such a claim says that something is learnt, not which part does it.",
    ]  # fmt: skip
    if result["not measured"]:
        lines += ["", f"Registered and not measured yet: {', '.join(result['not measured'])}."]
    for one in result["rows"]:
        if one["margin"]:
            share = one["trained last"]["whole"] / one["parameters"]["whole"]
            lines += ["", f"{one['system']}: {share:.1%} of the parameters are trained in the last phase."]
    lines += [
        "", "## Measured elsewhere", "", "p is Holm's over what a table compares.", "",
        "| system | claim | figures | from |", "|---" * 4 + "|",
        *(
            f"| {one['system']} | {one['claim']} | {one['figures']} | [{one['file']}]({one['file']}.md) |"
            for one in result["elsewhere"]
        ),
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", nargs="*", help="systems, or SYSTEM/POINT [default: all]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=21, help="seed")
    parser.add_argument("--development", action="store_true", help="print the rows, write no result")
    parser.add_argument("--table", action="store_true", help="measure nothing, read the other result files again")
    args = parser.parse_args()
    set_mode("plain")
    seeds = range(args.first, args.first + args.seeds)
    order = [(one.system, one.name) for one in points()]
    file = RESULTS / "generation_points.json"
    if args.table:
        write(read_json(file)["rows"] if file.is_file() else [], seeds)
        return
    for point in points():
        if args.system and not {point.system, f"{point.system}/{point.name}"} & set(args.system):
            continue
        found = row(point, seeds)
        if args.development:
            sys.stdout.write(f"{found['system']} {found['point']} {found['cpu_seconds']}\n{found['written']}\n")
            sys.stdout.write(f"{found['arms']}\n{found['gains']}\n")
            continue
        kept = read_json(file)["rows"] if file.is_file() else []
        rows = [one for one in kept if (one["system"], one["point"]) != (point.system, point.name)]
        rows = sorted([*rows, found], key=lambda one: order.index((one["system"], one["point"])))
        write(rows, seeds)


def write(rows: list[dict[str, Any]], seeds: range) -> None:
    """Write the results as they are now."""
    there = {(one["system"], one["point"]) for one in rows}
    judged = [{**one, **verdict(one)} for one in rows]
    corrected = holm([one["p"] for one in judged])
    rows = [{**one, "p, Holm": float(p)} for one, p in zip(judged, corrected, strict=True)]
    missing = [f"{one.system} ({one.name})" for one in points() if (one.system, one.name) not in there]
    result = {
        "rows": rows, "not measured": missing, "seeds": list(seeds), "elsewhere": elsewhere(), "versions": versions(),
        "command": command_line(),
    }  # fmt: skip
    keep("generation_points", result, page(result))


if __name__ == "__main__":
    main()
