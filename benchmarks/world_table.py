"""A simulated world, several seeds: does every model stand where its information puts it?

    python benchmarks/world_table.py --first 20 [--preset shop] [--seeds 5] [--no-effect]

Warm: random split by row. Cold: a fifth of the items unseen in fitting. ``oracle`` scores with the world's own truth,
``id blend`` is the blend of ID-only models. The shop is read by ``blend``; ``ads`` and ``news`` by ``ease_content``,
which is ``ease`` where content does not help, from descriptors of pictures and words of texts. Every cell is kept under
PALATE_WORK, so that a stopped run goes on.
Two measures: recall, whose test part holds only one or two choices a person, and the hits that a list gets on average
over all logs that could have followed, as a share of the oracle's, which the truth gives without noise (in ``ads``
from 48 contexts a user). Worlds of impressions are also measured by the GAUC of the impressions of the test part, where
models score user and item alone, and have the ceilings of AUC and GAUC: those of P(click) with what it depends on.
Written: ``results/world.*`` (``world_no_effect.*``, ``world_ads.*`` ...), and plots in ``docs/pictures/``.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch

import palate
from _common import RESULTS, ROOT, WORK, keep
from _recovery import recovery
from _world_plot import draw
from palate.contracts.parse import parse_model
from palate.core.batch import IntArray, UserBatch
from palate.core.files import read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.data.views import EvaluationQueries
from palate.evaluation.fit_result import fit_one
from palate.evaluation.openings import open_test
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.held_out import rank_held_out
from palate.metrics.lists import evaluate_lists
from palate.metrics.rating import auc, gauc
from palate.metrics.variance import nested_error
from palate.ranking.scorer import Scorer
from palate.simulation.choice import click_chance
from palate.simulation.contexts import CODES
from palate.simulation.presets import PRESETS
from palate.simulation.truth import Truth
from palate.simulation.world import World
from palate.training.saving import versions

MODALITIES = ("text", "image", "audio", "attributes")
SINGLE = ("text", "image", "audio")
K = 20
METRIC = {"warm": f"recall@{K}", "cold": f"capped_recall@{K}"}
EXPECTED = "share of the oracle's expected hits"
GAUC = "GAUC of impressions"
CEILINGS = {
    "shown": "P(click), all that it depends on", "context": "without the position",
    "taste": "user and item alone", "position": "position alone",
}  # fmt: skip
CHUNK = 512
ENCODERS = {"text": "tfidf", "image": "image_stats"}
"""Encoders of worlds of impressions: nothing that was trained elsewhere."""
MEASURES = {" expected": EXPECTED, " impressions": GAUC}
SPLITS = {"warm": "random:seed=0", "cold": "item_cold:seed=0"}
ID_ONLY = {"popularity": "popularity", "ease": "ease", "id blend": "blend:members=[ease,lightgcn]"}
MODELS = {"warm": (*ID_ONLY, *SINGLE, "all", "oracle"), "cold": ("popularity", "ease", *SINGLE, "all", "oracle")}


Cells = dict[str, dict[str, dict[str, float]]]


class Oracle(Scorer):
    """Scores with the truth; users are found by their row in the data."""

    def __init__(self, folder: Path, data: Dataset, kept: Path) -> None:
        super().__init__(data.n_items)
        self.users = np.array([int(str(u).lstrip("u")) for u in data.users.ids.ids])
        if not kept.is_file():
            truth = Truth.load(folder)
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, truth.oracle_scores(np.arange(truth.config.n_users)).astype(np.float32))
        self.scores = np.load(kept, mmap_mode="r", allow_pickle=False)

    def score(self, users: UserBatch, items: IntArray | None = None):
        scores = torch.from_numpy(np.ascontiguousarray(self.scores[self.users[users.rows]]))
        return scores if items is None else scores[:, torch.as_tensor(items)]


class Nothing(Scorer):
    """Knows no item: evaluation orders all of them at random."""

    def score(self, users: UserBatch, items: IntArray | None = None):
        return torch.zeros(len(users), self.n_items if items is None else len(items))

    def scorable(self):
        return np.zeros(self.n_items, bool)


def measure(world: World, without: tuple[str, ...] = ()) -> Cells:
    """{"warm": {model: {metric: value}}, "cold": ...} of one world, cell by cell; what was measured before is read."""
    name = f"{world.config.preset}-{world.config.seed}-{world.config.hash[:12]}"
    folder = WORK / "worlds" / name
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    found: Cells = {part: {} for part in SPLITS}
    for part, split in SPLITS.items():
        data = palate.load(folder, split=split)
        unknown = {m for m in SINGLE if m not in data.items.modalities}
        unknown |= {"id blend"} if data.interactions.has("impression") else set()
        for model in (m for m in (*MODELS[part], "random") if m not in {*without, *unknown}):
            cell = WORK / "world-cells" / name / f"{part}-{model.replace(' ', '-')}.json"
            if not cell.is_file():
                cell.parent.mkdir(parents=True, exist_ok=True)
                oracle = Oracle(folder, data, cell.with_name("oracle.npy"))
                write_json(cell, _score(model, data, part, oracle, WORK / "store" / name))
            found[part][model] = read_json(cell)
    return found


def _score(model: str, data: Dataset, part: str, truth: Oracle, store: Path) -> dict[str, float]:
    open_test(data, command_line())
    held = data.test_queries()
    if model in ("oracle", "random"):
        scorer: Scorer = truth if model == "oracle" else Nothing(data.n_items)
    else:
        left_out = {m: "none" for m in MODALITIES if model in SINGLE and m != model and m in data.items.modalities}
        shown = data.interactions.has("impression")
        content = plan_content(data, (ENCODERS if shown else {}) | left_out, store)
        reader = "ease_content" if shown else "blend"
        scorer = fit_one(parse_model(ID_ONLY.get(model, reader)), data, content, 0, False).model.scorer()
    with torch.inference_mode():
        lists = rank_held_out(scorer, held, K)
    metric = METRIC[part].partition("@")[0]
    drawn = dict(evaluate_lists(lists, held.relevant, (K,), (metric,)))[METRIC[part]]
    best = _expected(rank_held_out(truth, held, K), truth, held)
    ratio = _expected(lists, truth, held) / best
    found = {METRIC[part]: float(drawn.mean()), EXPECTED: float(ratio.mean())}
    return found | (_shown(scorer, data) if data.interactions.has("impression") else {})


def _shown(scorer: Scorer, data: Dataset) -> dict[str, float]:
    """GAUC of the impressions of the test part by scores of user and item; of items unseen in fitting in a cold split.

    Users without a click in the test part have no AUC, so that only the others are scored.
    """
    queries, held = data.test_events(), data.test_queries().users
    place = np.full(data.n_users + 1, -1)
    place[held.rows] = np.arange(len(held))
    place[-1] = -1
    asked = place[queries.users]
    scores = np.zeros(len(queries))
    for start in range(0, len(held), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(held)))
        inside = np.flatnonzero((asked >= start) & (asked <= rows[-1]))
        with torch.inference_mode():
            block = scorer.score(held.take(rows)).numpy()
        scores[inside] = block[asked[inside] - start, queries.events.item[inside]]
    known = asked >= 0
    scores[~scorer.scorable()[queries.events.item]] = 0.0
    return {GAUC: gauc(queries.events.label[known] > 0, scores[known], asked[known])}


def ceilings(world: World) -> dict[str, Any]:
    """AUC and GAUC over all impressions of a log, of the truth: the highest that any model can expect.

    ``shown`` is P(click) with position, moment and context, ``context`` leaves out the position, ``taste`` also the
    context, and ``position`` is the position alone.
    """
    (_, block), *_ = world.blocks()
    rows, truth, config = block.impressions, world.truth, world.config
    time = (rows["timestamp"] - config.start) / (config.days * 86_400)
    context = {name: rows[name] for name in CODES} if truth.contexts is not None else None
    liked = truth.relevance(rows["user"], rows["item"], time, context)
    scores = {
        "shown": click_chance(liked, rows["position"], config),
        "context": liked,
        "taste": truth.relevance(rows["user"], rows["item"], time),
        "position": -rows["position"].astype(np.float64),
    }
    found: dict[str, Any] = {f"auc, {name}": auc(rows["clicked"], values) for name, values in scores.items()}
    found |= {f"gauc, {name}": gauc(rows["clicked"], values, rows["user"]) for name, values in scores.items()}
    rates = np.bincount(rows["position"], rows["clicked"]) / np.bincount(rows["position"])
    found |= {"click rate": float(rows["clicked"].mean()), "click rate by position": rates.tolist()}
    return found | {"shown": len(rows["user"]), "clicks": int(rows["clicked"].sum())}


def _expected(lists: np.ndarray, truth: Oracle, held: EvaluationQueries) -> np.ndarray:
    """Hits that each list [U, k] gets on average over all logs that could have followed, up to a factor by user."""
    chance = truth.score(held.users).numpy()
    return np.take_along_axis(chance, np.maximum(lists, 0), axis=1).sum(axis=1, where=lists >= 0)


def compare(rows: list[dict[str, dict[str, float]]], part: str, metric: str) -> dict[str, Any]:
    """Means by model, and the gaps that the information demands, paired over worlds."""
    table = {name: np.array([row[name][metric] for row in rows]) for name in rows[0]}

    def best(names: tuple[str, ...]) -> str:
        return max((name for name in names if name in table), key=lambda name: float(table[name].mean()))

    single = best(SINGLE)
    order = ["popularity", best(("ease", "id blend")), single, "all", "oracle"]
    order = order if part == "warm" else ["random", single, "all", "oracle"]
    order = [name for name, after in zip(order, [*order[1:], ""]) if name != after]
    gaps = [gap_of(low, high, table[high] - table[low]) for low, high in itertools.pairwise(order)]
    if part == "cold":
        gaps = [gap_of("random", name, table[name] - table["random"]) for name in ("popularity", "ease")] + gaps
    means = {name: {"mean": float(v.mean()), "by seed": v.tolist()} for name, v in table.items()}
    return {"metric": metric, "models": means, "best single": single, "gaps": gaps}


def gap_of(low: str, high: str, gap: np.ndarray) -> dict[str, Any]:
    """The mean gap between two models and its t-interval over worlds.

    Args:
        low: the model below.
        high: the model above.
        gap: float64 [worlds], above minus below.
    """
    mean, error = float(gap.mean()), nested_error([np.atleast_1d(one) for one in gap])
    half, se = error.half_width(0.95), float(np.sqrt(error.variance))
    interval = {"low": mean - half, "high": mean + half, "p": error.p_value(mean)}
    return {"from": low, "to": high, "gap": mean, "se": se, "in standard errors": mean / se if se else 0.0, **interval}


def page(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"# {result['title']}", ""]
    for name, found in result["parts"].items():
        lines += [f"## {name.split()[0]}, {found['metric']}", "", "| model | mean | sd |", "|---|---|---|"]
        for name, row in found["models"].items():
            lines.append(f"| {name} | {row['mean']:.4f} | {np.std(row['by seed'], ddof=1):.4f} |")
        lines += ["", "| from | to | gap [95 %, over worlds] |", "|---|---|---|"]
        for gap in found["gaps"]:
            interval = f"[{gap['low']:+.4f}, {gap['high']:+.4f}]"
            lines.append(f"| {gap['from']} | {gap['to']} | {gap['gap']:+.4f} {interval} |")
        lines.append("")
    if "ceilings" in result:
        lines += ["## Ceilings: AUC and GAUC of the truth over all impressions", "", "| score | AUC | GAUC |"]
        lines.append("|---|---|---|")
        for name in ("shown", "context", "taste", "position"):
            both = [np.mean([one[f"{metric}, {name}"] for one in result["ceilings"]]) for metric in ("auc", "gauc")]
            lines.append(f"| {CEILINGS[name]} | {both[0]:.4f} | {both[1]:.4f} |")
        size = {name: np.mean([one[name] for one in result["ceilings"]]) for name in ("shown", "clicks", "click rate")}
        rates = np.mean([one["click rate by position"] for one in result["ceilings"]], axis=0)
        lines += ["", f"A world has {size['shown']:,.0f} items shown and {size['clicks']:,.0f} clicks. Click rate"]
        lines += [f"{size['click rate']:.4f}, by position {', '.join(f'{rate:.4f}' for rate in rates)}.", ""]
    seen = result["recovery"]
    lines += ["## What one modality tells: accuracy of a simple classifier (clarity)", ""]
    lines += [
        "| attribute | chance | " + " | ".join(seen["accuracy"]) + " |",
        "|---" * (2 + len(seen["accuracy"])) + "|",
    ]
    for attribute, chance in seen["chance"].items():
        cells = []
        for modality, accuracy in seen["accuracy"].items():
            clarity = seen["clarity"][modality].get(attribute)
            cells.append(f"{accuracy[attribute]:.2f}" + (f" **({clarity})**" if clarity else ""))
        lines.append(f"| {attribute} | {chance:.2f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="shop", choices=sorted(PRESETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--items", type=int, default=None)
    parser.add_argument("--users", type=int, default=None)
    parser.add_argument("--no-effect", action="store_true")
    parser.add_argument("--without", default="", help="models to leave out, separated by commas")
    parser.add_argument("--name", default=None, help="of the result files")
    args = parser.parse_args()
    set_mode("plain")
    seeds = range(args.first, args.first + args.seeds)
    same: dict[str, Any] = {"no_effect": args.no_effect, "n_items": args.items, "n_users": args.users}
    worlds = [World.make(args.preset, seed=seed, **same) for seed in seeds]
    rows = [measure(world, tuple(args.without.split(","))) for world in track(worlds, "worlds")]
    settings = worlds[0].config
    effect = ", taste independent of content" if args.no_effect else ""
    metrics = ("", " expected") if args.preset == "shop" else ("", " expected", " impressions")
    result = {
        "title": f"Simulated {args.preset}, {len(seeds)} worlds{effect}",
        "seeds": list(seeds), "items": settings.n_items, "users": settings.n_users,
        "preset": [settings.preset, settings.version], "worlds": [world.config.hash for world in worlds],
        "splits": SPLITS, "versions": versions(), "command": command_line(),
        "parts": {
            part + also: compare([row[part] for row in rows], part, MEASURES.get(also) or METRIC[part])
            for part, also in itertools.product(SPLITS, metrics)
        },
        "recovery": recovery(World.make(args.preset, seed=args.first, **same | {"n_items": 1000, "n_users": 2})),
    }  # fmt: skip
    if args.preset != "shop":
        result["ceilings"] = [ceilings(world) for world in worlds]
    label = "world" + ("" if args.preset == "shop" else f"_{args.preset}")
    keep(args.name or label + ("_no_effect" if args.no_effect else ""), result, page(result))
    if args.name is None:
        draw(RESULTS, label, ROOT / "docs" / "pictures" / f"{label}.svg")


if __name__ == "__main__":
    main()
