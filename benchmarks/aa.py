"""A/A: how often the paired test finds a difference between a system and itself, 5 % if intervals are right.

    python benchmarks/aa.py [--trials 400]

Three kinds of cells, all real trainings and all per-user recall@20:

- seeds: BPR and LightGCN on one split of a simulated shop, and BPR on TikTok, each trained with many seeds. A trial
  takes 3 seeds as system A and 3 others as system B.
- draws: CLCRec on draws of new items of the shop, twice each with different training seeds. A trial takes 3 draws;
  which of the two trainings of a draw is A is drawn too.
- worlds: LightGCN on simulated shops that differ, twice each; trials as with draws.

The last column is the share that a bootstrap over users alone would have called different. Written: ``results/aa.*``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palate
from _common import WORK, keep, real
from palate.contracts.parse import parse_model
from palate.core.files import atomic_path, digest
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.code_version import code_version
from palate.evaluation.evaluate import evaluate
from palate.evaluation.openings import one_opening
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_paired
from palate.simulation.world import World
from palate.training.fit import fit
from palate.training.saving import versions

Values = NDArray[np.float64]
DRAWS, WORLDS, TAKEN = 30, 60, 3
SEEDS = {"shop": 40, "tiktok": 24}
BPR = "bpr:dim=16;epochs=6;lr=0.01;patience=6"
LIGHTGCN = "lightgcn:dim=16;epochs=6;lr=0.02;patience=6"
CLCREC = "clcrec:dim=16;hidden=32;epochs=3;lr=0.01;patience=3"
TIKTOK = "bpr:dim=16;epochs=2;lr=0.01;patience=2"


def shop(seed: int, split: str, media: bool = True) -> Dataset:
    """A small simulated shop."""
    world = World.make("shop", seed=seed, n_items=400, n_users=400, image_size=64, media=media)
    folder = WORK / "worlds" / f"shop-{seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    return palate.load(folder, split=split)


def cell(data: Dataset, model: str, seed: int) -> Values:
    """Recall of each test user; kept under PALATE_WORK."""
    file = WORK / "aa" / f"{digest(code_version(), data.hash, str(data.spec), model, str(seed))}.npz"
    if not file.is_file():
        encoders = {"text": "tfidf", "image": "none", "audio": "none"}
        have = {name: spec for name, spec in encoders.items() if name in data.items.modalities}
        content = plan_content(data, have, WORK / "store" / "aa")
        with one_opening(command_line()):
            fitted = fit(parse_model(model), data, seed=seed, content=content, refit=False)
            values = evaluate(fitted, data).per_unit["recall@20"]
        with atomic_path(file) as aside, open(aside, "wb") as handle:
            np.savez(handle, values=values)
    with np.load(file, allow_pickle=False) as saved:
        found: Values = saved["values"]
    return found


def seeds_of(data: Dataset, model: str, seeds: int) -> list[Values]:
    """One training for each seed on the same split."""
    return [cell(data, model, seed) for seed in track(range(seeds), model)]


def pairs_of(shops: Callable[[int], Dataset], model: str, draws: int) -> list[tuple[Values, Values]]:
    """Two trainings on each draw or world."""
    found = []
    for draw in track(range(draws), model):
        data = shops(draw)
        found.append((cell(data, model, 2 * draw), cell(data, model, 2 * draw + 1)))
    return found


def trial_of_seeds(runs: list[Values], rng: np.random.Generator) -> tuple[Any, Any]:
    """3 seeds against 3 others."""
    order = rng.choice(len(runs), 2 * TAKEN, replace=False)
    return np.stack([runs[i] for i in order[:TAKEN]]), np.stack([runs[i] for i in order[TAKEN:]])


def trial_of_draws(pairs: list[tuple[Values, Values]], rng: np.random.Generator) -> tuple[Any, Any]:
    """3 draws; either training of a draw is A."""
    rows = rng.choice(len(pairs), TAKEN, replace=False)
    first = rng.integers(0, 2, TAKEN)
    return [pairs[i][j] for i, j in zip(rows, first)], [pairs[i][1 - j] for i, j in zip(rows, first)]


def rejected(trial: Callable[[np.random.Generator], tuple[Any, Any]], trials: int) -> dict[str, float]:
    """Shares of trials with p <= .05: of the test, and of a bootstrap over users of the averaged runs."""
    rng = np.random.default_rng(0)
    by_test, by_users = 0, 0
    for number in range(trials):
        a, b = trial(rng)
        by_test += compare_paired(a, b).p_value <= 0.05
        # draws one after another are as many users: the spread of draws does not count
        flat = [np.concatenate(x) if isinstance(x, list) else x.mean(axis=0) for x in (a, b)]
        by_users += compare_paired(*flat, resamples=999, seed=number).p_value <= 0.05
    return {"rejected": by_test / trials, "rejected counting users only": by_users / trials}


def page(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# A/A: a system against itself", "",
        f"{result['trials']} trials of {TAKEN} against {TAKEN} each; differences called significant at 5 %. "
        "The standard error of a share is about 1 %.", "",
        "| cells | model | rejected | counting users only |", "|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {row['cells']} | {row['model'].partition(':')[0]} | {row['rejected']:.1%} "
        f"| {row['rejected counting users only']:.1%} |"
        for row in result["rows"]
    ]
    return "\n".join(
        [*lines, "", f"All: {result['rejected']:.1%}; counting users only: {result['users only']:.1%}.", ""]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    args = parser.parse_args()
    set_mode("plain")
    warm, tiktok = shop(700, "random:seed=0"), palate.load(real("tiktok"))
    rows: list[dict[str, Any]] = []
    for cells, data, model, seeds in (
        ("seeds, simulated shop", warm, BPR, SEEDS["shop"]),
        ("seeds, simulated shop", warm, LIGHTGCN, SEEDS["shop"]),
        ("seeds, TikTok", tiktok, TIKTOK, SEEDS["tiktok"]),
    ):
        runs = seeds_of(data, model, seeds)
        found = rejected(lambda rng, runs=runs: trial_of_seeds(runs, rng), args.trials)
        spread = float(np.std([run.mean() for run in runs], ddof=1))
        mean = float(np.mean([run.mean() for run in runs]))
        rows.append({"cells": cells, "model": model, "runs": len(runs), "mean": mean, "sd of seeds": spread, **found})
    for cells, shops, model, draws in (
        ("draws of new items", lambda draw: shop(700, f"item_cold:seed={draw}"), CLCREC, DRAWS),
        ("worlds", lambda draw: shop(720 + draw, "random:seed=0", media=False), LIGHTGCN, WORLDS),
    ):
        pairs = pairs_of(shops, model, draws)
        found = rejected(lambda rng, pairs=pairs: trial_of_draws(pairs, rng), args.trials)
        mean = float(np.mean([run.mean() for pair in pairs for run in pair]))
        spread = float(np.std([a.mean() - b.mean() for a, b in pairs], ddof=1) / np.sqrt(2))
        rows.append({"cells": cells, "model": model, "runs": len(pairs), "mean": mean, "sd of seeds": spread, **found})
    result = {
        "rows": rows, "trials": args.trials, "level": 0.05,
        "rejected": float(np.mean([row["rejected"] for row in rows])),
        "users only": float(np.mean([row["rejected counting users only"] for row in rows])),
        "versions": versions(), "code": code_version(), "command": command_line(),
    }  # fmt: skip
    keep("aa", result, page(result))


if __name__ == "__main__":
    main()
