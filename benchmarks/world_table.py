"""The simulated shop, 5 seeds: does every model stand where its information puts it?

    python benchmarks/world_table.py [--seeds 5] [--no-effect]

Warm: random split by row. Cold: a fifth of the items unseen in fitting. ``oracle`` scores with the world's own truth.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

import palate
from _common import WORK, keep
from palate.core.batch import Ints, UserBatch
from palate.core.progress import set_mode, track
from palate.core.scorer import Scorer
from palate.data.dataset import Dataset
from palate.evaluation.job import fit_one, parse_model
from palate.features.plan import plan_content
from palate.metrics.held import evaluate_held
from palate.simulation.truth import Truth
from palate.simulation.world import World
from palate.training.saving import versions

MODALITIES = ("text", "image", "audio", "attributes")
SINGLE = ("text", "image", "audio")
METRIC = {"warm": "recall@20", "cold": "capped_recall@20"}


class Oracle(Scorer):
    """Scores with the truth; users are found by their row in the data."""

    def __init__(self, truth: Truth, data: Dataset) -> None:
        super().__init__(data.n_items)
        self.truth = truth
        self.users = np.array([int(str(u).lstrip("u")) for u in data.users.ids.ids])

    def score(self, users: UserBatch, items: Ints | None = None):
        import torch

        scores = torch.from_numpy(np.ascontiguousarray(self.truth.oracle_scores(self.users[users.rows]), np.float32))
        return scores if items is None else scores[:, torch.as_tensor(items)]


def measure(seed: int, no_effect: bool, items: int, users: int) -> dict[str, dict[str, float]]:
    """{"warm": {model: value}, "cold": ...} of one world."""
    name = f"shop-{seed}{'-none' if no_effect else ''}"
    folder = WORK / "worlds" / name
    if not (folder / "palate.yaml").is_file():
        World.make("shop", seed=seed, no_effect=no_effect, n_items=items, n_users=users).write(folder, overwrite=True)
    truth = Truth.load(folder)
    store = WORK / "store" / name
    found: dict[str, dict[str, float]] = {}
    for part, split in (("warm", "random:seed=0"), ("cold", "item_cold:seed=0")):
        data = palate.load(folder, split=split)
        row: dict[str, float] = {}
        for model in ("popularity", "ease"):
            row[model] = _score(model, data, {}, store, part)
        for modality in SINGLE:
            others = {m: "none" for m in MODALITIES if m != modality and m in data.items.modalities}
            row[modality] = _score("blend", data, others, store, part)
        row["all"] = _score("blend", data, {}, store, part)
        held = data.test_held()
        metric, _, k = METRIC[part].partition("@")
        row["oracle"] = float(
            evaluate_held(Oracle(truth, data, split), held, (int(k),), (metric,))[METRIC[part]].mean()
        )
        row["random"] = float(evaluate_held(_Nothing(data.n_items), held, (int(k),), (metric,))[METRIC[part]].mean())
        found[part] = row
    return found


class _Nothing(Scorer):
    """Knows no item: evaluation orders all of them at random."""

    def score(self, users: UserBatch, items: Ints | None = None):
        import torch

        return torch.zeros(len(users), self.n_items if items is None else len(items))

    def scorable(self):
        return np.zeros(self.n_items, bool)


def _score(model: str, data: Dataset, encoders: dict[str, str], store, part: str) -> float:
    done = fit_one(parse_model(model), data, plan_content(data, encoders, store), 0, True)
    return done.result.metrics[METRIC[part]] if done.result else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--no-effect", action="store_true")
    args = parser.parse_args()
    set_mode("plain")
    rows = [measure(seed, args.no_effect, args.items, args.users) for seed in track(range(args.seeds), "worlds")]
    result = {"seeds": args.seeds, "items": args.items, "users": args.users, "versions": versions(), "parts": {}}
    lines = [f"# Simulated shop, {args.seeds} seeds{', taste independent of content' if args.no_effect else ''}", ""]
    for part in ("warm", "cold"):
        names = list(rows[0][part])
        table = {n: np.array([row[part][n] for row in rows]) for n in names}
        best = max(SINGLE, key=lambda n: table[n].mean())
        order = ["popularity", "ease", best, "all", "oracle"] if part == "warm" else ["random", best, "all", "oracle"]
        gaps = []
        for low, high in itertools.pairwise(order):
            gap = table[high] - table[low]
            error = float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("nan")
            gaps.append(
                {"from": low, "to": high, "gap": float(gap.mean()), "standard errors": float(gap.mean() / error)}
            )
        means = {n: {"mean": float(v.mean()), "by seed": v.tolist()} for n, v in table.items()}
        result["parts"][part] = {"metric": METRIC[part], "models": means, "best single": best, "gaps": gaps}
        lines += [f"## {part}, {METRIC[part]}", "", "| model | mean | sd |", "|---|---|---|"]
        lines += [f"| {n} | {v.mean():.4f} | {v.std(ddof=1) if len(v) > 1 else 0:.4f} |" for n, v in table.items()]
        lines += [
            "",
            *(f"- {g['from']} -> {g['to']}: {g['gap']:+.4f} ({g['standard errors']:.1f} SE)" for g in gaps),
            "",
        ]
    keep("world" + ("_no_effect" if args.no_effect else ""), result, "\n".join(lines))


if __name__ == "__main__":
    main()
