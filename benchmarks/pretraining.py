"""Every pretraining system against its own ablation: one table, one picture of quality against cost.

    python benchmarks/pretraining.py [--only clip,prec] [--seeds 3] [--first 4] [--part 0/2]

A point (``benchmarks/points/*.py``) is a system, its claim, data, the ablation that lacks only what the claim is about,
and a judge of items that training did not see. Both are trained with seeds 4, 5 and 6: simulated worlds 204 to 206, or
draws of real data; settings were chosen on other worlds, among them 201 to 203, and on draws 0 to 3 (data and sizes of
some points were changed after their figures with seeds 4 to 6 had been seen, but on other worlds still). Where the data
allow it, both are trained once more, with the first seed, in a world in which taste ignores content: what is gained for
recommendation must vanish there. Cells are kept under PALATE_WORK.

Judges differ from point to point. To compare kinds of supervision, the encoders of all systems that learnt in the
simulated shop are asked one more question, the same for all: which new items do people take? Each is held against its
own towers as they were before training, for systems read different modalities and these differ in what they can tell.
With ``--only`` the rows of other systems stay as they were measured; a row names the code that it was measured with.
Written: ``results/pretraining.*``, and the plot of quality against cost in ``docs/pictures/supervision.svg``.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, ROOT, WORK, keep
from _points import READY, Judge, Point, nearest, recalled, shop
from _supervision_plot import draw
from palate.contracts import Pretrainer, parse, pretrainers
from palate.core.encoder import Encoder
from palate.core.files import atomic_path, digest, read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.code_version import code_version
from palate.evaluation.openings import one_opening, open_test
from palate.evaluation.runs import command_line
from palate.features.plan import find_encoder
from palate.features.saved import load_encoder
from palate.metrics.bootstrap import PairedResult, compare_paired, holm
from palate.training.pretrain import pretrain
from palate.training.saving import versions

CELLS = WORK / "pretraining"
IN_SHOP = {"shop", "content", "catalogue", "searching", "asking"}
"""Data with the items and clicks of the shop, whatever else people tell there."""
NOISE = 64
RANDOM_JUDGE = "measured when regions were those of a network with random weights; it was not measured again."
BEFORE = {
    "uniter": RANDOM_JUDGE, "scale": RANDOM_JUDGE, "k3m": RANDOM_JUDGE,
    "patch_atoms": "the ablation without whitening also lost the start from patches, and `epochs=0` lost whitening and "
    "principal components as well.",
    "visual_encoder": "`stages=[views]` had half the epochs.",
}  # fmt: skip
"""What was different in rows that do not name their code."""


def points(only: set[str]) -> list[Point]:
    """All points, by file name; of these systems if any are named."""
    return [point for point in every_point() if not only or point.system in only]


@cache
def every_point() -> list[Point]:
    """What the files beside this one claim."""
    sys.path.append(str(ROOT / "benchmarks" / "points"))
    found: list[Point] = []
    for file in sorted((ROOT / "benchmarks" / "points").glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"point_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.POINTS
    return found


def cell_of(point: Point, variant: str, seed: int, effect: bool) -> Path:
    """Where one training, and what its judges said, is kept: points that share a training share the cell."""
    data = f"{point.data.__module__}.{point.data.__name__}"
    return CELLS / digest(variant, data, str(seed), str(effect), repr(sorted(point.readers.items())))


def verdict(point: Point) -> str:
    """The file of a cell that holds what the point's judge said."""
    return f"{digest(point.claim)}.npz"


def measure(point: Point, variant: str, seed: int, effect: bool) -> dict[str, Any] | None:
    """Train, ask every point that judges this training, and keep; None where the data have no such variant."""
    cell = cell_of(point, variant, seed, effect)
    if not (cell / verdict(point)).is_file():
        data = point.data(seed, effect)
        if data is None:
            return None
        asking = [other for other in points({point.system}) if variant in (other.whole, other.ablation)]
        asking = [other for other in asking if cell_of(other, variant, seed, effect) == cell]
        started = time.process_time()
        model, encoders = trained(point, variant, data, cell / "encoders", seed)
        facts = {
            "system": point.system, "variant": variant, "seed": seed, "effect": effect, "data": data.hash,
            "cpu_seconds": time.process_time() - started, "parameters": sum(p.numel() for p in model.parameters()),
        }  # fmt: skip
        write_json(cell / "cell.json", facts)
        with one_opening(command_line()):
            open_test(data)
        said: dict[Judge, np.ndarray] = {}
        for other in [*asking, point]:
            if other.judge not in said:
                said[other.judge] = other.judge(model, encoders, data, seed)
            with atomic_path(cell / verdict(other)) as aside, open(aside, "wb") as handle:
                np.savez(handle, values=said[other.judge])
    with np.load(cell / verdict(point), allow_pickle=False) as saved:
        return {**read_json(cell / "cell.json"), "values": saved["values"]}


def trained(point: Point, variant: str, data: Dataset, out: Path, seed: int) -> tuple[Pretrainer, dict[str, Encoder]]:
    """A system and its encoders; or an encoder as it comes, beside a system that was never trained."""
    if variant.startswith(READY):
        modality, _, spec = variant.removeprefix(READY).partition("=")
        return pretrainers.get(point.system)(), {modality: find_encoder(spec, modality)}
    model = parse(variant, pretrainers)
    return model, pretrain(model, data, out, seed=seed, readers=dict(point.readers), store=WORK / "store")


def row(point: Point, seeds: range) -> dict[str, Any]:
    """Whole against ablation, paired by unit within each seed; and in one world without effect."""
    out: dict[str, Any] = {
        "system": point.system, "supervision": point.supervision, "claim": point.claim, "data": point.data.__name__,
        "real": point.real, "whole": point.whole, "ablation": point.ablation, "code": code_version(),
    }  # fmt: skip
    for effect, worlds in ((True, seeds), (False, seeds[:1])):
        pairs = [
            [measure(point, variant, seed, effect) for seed in worlds] for variant in (point.whole, point.ablation)
        ]
        if any(cell is None for cell in itertools.chain(*pairs)):
            continue
        whole, ablation = ([cell["values"] for cell in cells if cell is not None] for cells in pairs)
        found = compare_paired(whole, ablation)
        facts = [cell for cell in pairs[0] if cell is not None]
        out["effect" if effect else "no effect"] = {
            "whole": found.mean_a, "ablation": found.mean_b, "difference": found.difference,
            **(_interval(found) if effect else dict.fromkeys(("low", "high", "p"))), "units": found.n_users,
            "by seed": [[float(v.mean()) for v in values] for values in (whole, ablation)],
            "cpu_seconds": float(np.mean([cell["cpu_seconds"] for cell in facts])),
            "parameters": facts[0]["parameters"],
        }  # fmt: skip
    return out


def common(point: Point, variant: str, seed: int) -> dict[str, Any]:
    """A cell's facts and, under ``common``, what its encoders answer to the question that all are asked; kept."""
    facts = measure(point, variant, seed, True)
    assert facts is not None
    del facts["values"]
    if "common" not in facts:
        cell = cell_of(point, variant, seed, True)
        found = {
            folder.name: load_encoder(folder) for folder in sorted((cell / "encoders").iterdir()) if folder.is_dir()
        }
        facts |= {"common": float(recalled(found, shop(seed, True)).mean()), "modalities": list(found)}
        write_json(cell / "cell.json", facts)
    return facts


def summary(chosen: list[Point], seeds: range) -> list[dict[str, Any]]:
    """Every system that learnt in the shop, before and after; once for each of its settings."""
    points = {(point.system, point.whole): point for point in reversed(chosen) if point.data.__name__ in IN_SHOP}
    out = []
    for point in track(list(points.values()), "quality"):
        after, before = (
            [common(point, variant, seed) for seed in seeds] for variant in (point.whole, f"{point.whole};epochs=0")
        )
        out.append({
            "system": point.system, "supervision": point.supervision, "settings": point.whole,
            "modalities": after[0]["modalities"],
            "cpu_seconds": float(np.mean([cell["cpu_seconds"] for cell in after])),
            "trained": [cell["common"] for cell in after], "untrained": [cell["common"] for cell in before],
        })  # fmt: skip
    return sorted(out, key=lambda found: (found["supervision"], found["system"]))


def chance(seeds: range) -> list[float]:
    """What vectors that tell nothing answer."""
    out = []
    for seed in seeds:
        data = shop(seed, True)
        noise = np.random.default_rng(seed).standard_normal((data.n_items, NOISE))
        out.append(float(nearest(data, [(noise, np.ones(data.n_items, bool))]).mean()))
    return out


def page(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# Each pretraining system against its own ablation", "",
        f"{len(result['seeds'])} seeds each, with a world or a draw and a training of their own; 95 % interval of the "
        "paired difference over them (Student's t); CPU seconds of one training.",
        "Without effect there is one world, and so no interval: between seeds it would vary as much as above.",
        "Data and sizes of some points were changed, on other worlds, after figures with these seeds had been seen.",
        "", _verdict_line(result["verdicts"]), "", *(f"{note}\n" for note in result.get("notes", [])),
        "| system | claim | data | whole | without | difference | no effect | seconds |", "|---" * 8 + "|",
    ]  # fmt: skip
    for found in result["rows"]:
        with_effect, without = found["effect"], found.get("no effect")
        lines.append(
            f"| {found['system']} | {found['claim']} | {found['data']} | {with_effect['whole']:.4f} | "
            f"{with_effect['ablation']:.4f} | {_gap(with_effect)} | {_gap(without) if without else '-'} | "
            f"{with_effect['cpu_seconds']:.0f} |"
        )
    lines += [
        "", "## Quality against cost", "",
        "All systems that learnt in the simulated shop, asked the same: which new items does a person take, by "
        "nearness of the exported vectors? Capped recall@20, before and after training; "
        f"vectors that tell nothing: {np.mean(result['chance']):.4f}.", "",
        "| supervision | system | reads | untrained | trained | seconds |", "|---" * 6 + "|",
    ]  # fmt: skip
    for found in result["summary"]:
        lines.append(
            f"| {found['supervision']} | {found['system']} | {', '.join(found['modalities'])} | "
            f"{np.mean(found['untrained']):.4f} | {np.mean(found['trained']):.4f} | {found['cpu_seconds']:.0f} |"
        )
    return "\n".join([*lines, ""])


def verdicts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many claims are shown, contradicted or left open by their intervals.

    Args:
        rows: of :func:`row`.
    """
    effects = [found["effect"] for found in rows]
    adjusted = holm([effect["p"] for effect in effects])
    shown = sum(effect["low"] > 0 for effect in effects)
    against = sum(effect["high"] < 0 for effect in effects)
    holds = sum(bool(p <= 0.05) and effect["difference"] > 0 for p, effect in zip(adjusted, effects))
    signs = sum(len({a > b for a, b in zip(*effect["by seed"])}) == 1 for effect in effects)
    return {
        "claims": len(rows), "shown": shown, "contradicted": against, "open": len(rows) - shown - against,
        "shown after Holm": holds, "same sign in all seeds": signs,
    }  # fmt: skip


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """What is to be known of rows that were measured before their system or their judge became what it is."""
    told = [
        "An ablation `epochs=0` has no budget at all, and an encoder as it comes has other parameters.",
        "In rows that do not name their code, the judge of new items centred vectors by the mean over all items, new "
        "ones included, without their labels.",
    ]
    old = {found["system"] for found in rows if "code" not in found}
    return told + [f"{name}: {BEFORE[name]}" for name in sorted(old & BEFORE.keys())]


def _verdict_line(found: dict[str, int]) -> str:
    return (
        f"Of {found['claims']} claims {found['shown']} are shown (interval above 0), {found['contradicted']} are "
        f"contradicted (below 0) and {found['open']} stay open; {found['shown after Holm']} are shown after Holm's "
        f"correction for all. The difference has one sign in all seeds in {found['same sign in all seeds']}. Systems "
        "with many claims (ItemSage: 28) compare one training with several others: their rows depend on each other."
    )


def _interval(found: PairedResult) -> dict[str, float]:
    return {"low": found.low, "high": found.high, "p": found.p_value}


def _gap(found: dict[str, Any]) -> str:
    interval = "" if found["low"] is None else f" [{found['low']:+.4f}, {found['high']:+.4f}]"
    return f"{found['difference']:+.4f}{interval}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="systems, separated by commas; other rows stay")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=4, help="seed")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th system from the i-th, measured but not written")
    args = parser.parse_args()
    set_mode("plain")
    first, step = map(int, args.part.split("/"))
    chosen = points(set(filter(None, args.only.split(","))))
    seeds = range(args.first, args.first + args.seeds)
    systems = sorted({point.system for point in chosen})[first::step]
    mine = [point for point in chosen if point.system in systems]
    rows = [row(point, seeds) for point in track(mine, "points")]
    if step == 1:
        kept = read_json(RESULTS / "pretraining.json") if args.only else {"rows": [], "summary": []}
        if args.only and kept["seeds"] != list(seeds):
            raise SystemExit(f"the other rows have seeds {kept['seeds']}")
        rows = [*(old for old in kept["rows"] if old["system"] not in systems), *rows]
        asked = [*(old for old in kept["summary"] if old["system"] not in systems), *summary(chosen, seeds)]
        for found in (rows, asked):
            found.sort(key=lambda one: (one["supervision"], one["system"]))
        result = {
            "rows": rows, "verdicts": verdicts(rows), "summary": asked, "chance": kept.get("chance") or chance(seeds),
            "seeds": list(seeds), "notes": notes(rows), "openings_known": kept.get("openings_known", 0) + 1,
            "versions": versions(), "command": command_line(),
        }  # fmt: skip
        keep("pretraining", result, page(result))
        draw(result, ROOT / "docs" / "pictures" / "supervision.svg")


if __name__ == "__main__":
    main()
