"""Rerankers: their speed, what diversity costs in accuracy on movies, and whether a learned one gains.

    python benchmarks/reranking.py [--draws 3] [--base ease] [--only speed|curves|learned]

Speed: one list of 1,000 candidates with 256 numbers each to 20 items, on one thread, in processor time. Curves: a
random split of movies for each draw; the matcher is fitted once a draw, its 100 best candidates of each user are
reordered by each method at each strength. Items are compared by the vectors of their texts, which the distance is
measured in, too. The knee is the strength furthest from the straight line between both ends, axes scaled to [0, 1].
Learned: PRM beside its matcher on the same draws. Written: ``results/reranking.*``; a draw that was measured by the
same code is not measured again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import palate
from _common import RESULTS, WORK, keep, real
from _reranking_plot import draw_curves
from palate.contracts.parse import parse_model, with_settings
from palate.core.cache import vectors_folder
from palate.core.files import digest, read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.code_version import code_version
from palate.evaluation.openings import one_opening, open_test
from palate.evaluation.runs import command_line
from palate.features.item_groups import ItemGroups
from palate.features.plan import ContentPlan, plan_content
from palate.metrics.bootstrap import compare_paired
from palate.metrics.diversity import intra_list_distance
from palate.metrics.lists import evaluate_lists
from palate.models.base import Recommender
from palate.models.rerank.prm import PRM
from palate.ranking.calibration import calibrated_lists, divergence
from palate.ranking.dpp import dpp_lists
from palate.ranking.greedy import standardised
from palate.ranking.mmr import mmr_lists
from palate.ranking.scorer import mean_of
from palate.ranking.ssd import ssd_lists
from palate.training.saving import versions

DEPTH, K = 100, 10
STRENGTHS = (*(tenth / 10 for tenth in range(10)), 0.95, 0.98, 1.0)
LIMITS = {"mmr": 3.0, "dpp": 3.0, "ssd": 5.0}
"""Milliseconds that were asked for."""
Floats = NDArray[np.float32]
IntArray = NDArray[np.int64]


def speed(repeats: int = 200) -> dict[str, Any]:
    """Milliseconds of processor time of one list, the median over repeats."""
    rng = np.random.default_rng(0)
    vectors, scores = rng.normal(size=(1, 1000, 256)).astype(np.float32), rng.random((1, 1000), np.float32)
    methods: dict[str, Callable[[], IntArray]] = {
        "mmr": lambda: mmr_lists(scores, vectors, 20, 0.5),
        "dpp": lambda: dpp_lists(scores, vectors, 20, 0.5),
        "ssd": lambda: ssd_lists(scores, vectors, 20, 0.5),
        "ssd, window 10": lambda: ssd_lists(scores, vectors, 20, 0.5, window=10),
    }
    threads = torch.get_num_threads()
    found: dict[str, Any] = {}
    for name, method in methods.items():
        times = []
        for _ in range(repeats):
            before = time.process_time()
            method()
            times.append(1000 * (time.process_time() - before))
        low, middle, high = np.percentile(times[repeats // 10 :], [10, 50, 90])
        limit = LIMITS[name.partition(",")[0]]
        found[name] = {"ms": middle, "p10": low, "p90": high, "at most": limit, "met": bool(middle < limit)}
    return {"methods": found, "repeats": repeats, "threads of torch": threads}


def texts(data: Dataset) -> ContentPlan:
    """Content of which only the texts are read.

    Args:
        data: movies.
    """
    others = dict.fromkeys(set(data.items.modalities) - {"text"}, "none")
    return plan_content(data, others, vectors_folder(real("movies")))


class Candidates:
    """The candidates of a fitted matcher for the test users of one draw.

    Args:
        data: movies with the split of the draw.
        base: matcher.
    """

    def __init__(self, data: Dataset, base: str) -> None:
        content = texts(data)
        _, features = content.fit(data.select_view(), data)
        text = features["text"]
        self.vectors = np.where(text.present[:, None], text.values, 0).astype(np.float32)
        self.present = text.present
        model = parse_model(base)
        assert isinstance(model, Recommender)
        self.model = model.fit(data, seed=0)
        with one_opening("reranking.py"):
            open_test(data)
        self.queries = data.test_queries()
        scorer = self.model.scorer()
        queries = self.queries
        self.ids, self.scores = scorer.topk(queries.users, DEPTH, queries.exclude, scorer.scorable())
        self.known = self.ids >= 0
        self.rows = np.maximum(self.ids, 0)
        self.scores = np.where(self.known, self.scores, 0)
        self.genres = ItemGroups.from_catalog(data.items, "Genre")
        taken = mean_of(torch.from_numpy(self.genres.shares), queries.users.history).numpy()
        total = taken.sum(1, keepdims=True)
        self.wanted = np.divide(taken, total, out=np.zeros_like(taken), where=total > 0)

    def lists(self, method: str, strength: float) -> IntArray:
        """Lists of ``K`` items by a method."""
        if method == "calibrated":
            shares = self.genres.shares_of(self.rows)
            order = calibrated_lists(self.scores, shares, self.wanted, K, strength, self.known)
        else:
            vectors = self.vectors[self.rows]
            relevance = standardised(self.scores, self.known) if method == "dpp" else self.scores
            order = METHODS[method](relevance, vectors, K, strength, self.known)
        return np.where(order >= 0, np.take_along_axis(self.ids, np.maximum(order, 0), 1), -1)

    def judge(self, lists: IntArray) -> dict[str, NDArray[np.float64]]:
        """Metrics of each user; of a list of fewer than two texts the distance is 0."""
        ndcg = evaluate_lists(lists, self.queries.relevant, (K,), ("ndcg",)).per_user[f"ndcg@{K}"]
        shares = self.genres.shares_of(np.where(lists >= 0, lists, len(self.present)))
        return {
            "ndcg": ndcg,
            "ilad": np.nan_to_num(intra_list_distance(lists, self.vectors, present=self.present)),
            "genres": (shares > 0).any(1).sum(1) / len(self.genres),
            "divergence": divergence(self.wanted, shares.sum(1)).astype(np.float64),
        }


METHODS: dict[str, Callable[..., IntArray]] = {
    "mmr": mmr_lists, "dpp": dpp_lists, "ssd": ssd_lists, "calibrated": calibrated_lists,
}  # fmt: skip


def draw_of(number: int, base: str) -> tuple[dict[str, Any], Dataset, str]:
    """Curves of one draw, its data, and the matcher with its chosen settings."""
    data = palate.load(real("movies"), split=f"random:seed={number}")
    key = digest(code_version(), data.hash, str(data.spec), base, str(STRENGTHS), str(DEPTH))
    file = WORK / "reranking" / f"{key}.json"
    if not file.is_file():
        found = Candidates(data, base)
        curves = {
            method: [
                {name: values.tolist() for name, values in found.judge(found.lists(method, strength)).items()}
                for strength in STRENGTHS
            ]
            for method in track(METHODS, "methods")
        }
        chosen = found.model.selected_settings()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"curves": curves, "chosen": chosen, "hash": data.hash, "split": str(data.spec)})
    read = read_json(file)
    return read, data, with_settings(base, read["chosen"])


def learned_of(data: Dataset, base: str) -> dict[str, Any]:
    """NDCG of each test user: PRM, and the matcher whose lists it reorders."""
    key = digest(code_version(), data.hash, str(data.spec), base, "prm")
    file = WORK / "reranking" / f"{key}.json"
    if not file.is_file():
        model = PRM(base=base, vectors="text").fit(data, seed=0, content=texts(data))
        with one_opening("reranking.py"):
            open_test(data)
        queries, out = data.test_queries(), {}
        for name, one in (("prm", model), ("matcher", model.base)):
            scorer = one.scorer()
            lists, _ = scorer.topk(queries.users, K, queries.exclude, scorer.scorable())
            found = evaluate_lists(lists, queries.relevant, (K,), ("ndcg",)).per_user[f"ndcg@{K}"]
            out[name] = found.tolist()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {**out, "lists": len(model.lists)})
    read: dict[str, Any] = read_json(file)
    return read


def knee(gains: NDArray[np.float64], costs: NDArray[np.float64]) -> int:
    """The point furthest above the line between the first and the last, both axes scaled to [0, 1].

    Args:
        gains: [n], diversity.
        costs: [n], accuracy.
    """
    x, y = ((values - values.min()) / max(float(np.ptp(values)), 1e-12) for values in (gains, costs))
    dx, dy = x[-1] - x[0], y[-1] - y[0]
    away = dx * (y - y[0]) - dy * (x - x[0])
    return int(away.argmax())


def summarised(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Means by strength over the draws, and the knee of each method beside the order of the matcher."""
    out: dict[str, Any] = {}
    for method in METHODS:
        points = []
        for at, strength in enumerate(STRENGTHS):
            values = {
                name: [float(np.mean(one["curves"][method][at][name])) for one in draws]
                for name in ("ndcg", "ilad", "genres", "divergence")
            }
            points.append(
                {"strength": strength, **{name: float(np.mean(v)) for name, v in values.items()}, "by draw": values}
            )
        goal = "divergence" if method == "calibrated" else "ilad"
        gains = np.array([point[goal] for point in points]) * (-1 if goal == "divergence" else 1)
        at = knee(gains, np.array([point["ndcg"] for point in points]))
        test = {name: vars(compare_paired(*_pair(draws, method, at, name))) for name in ("ndcg", goal)}
        out[method] = {"points": points, "goal": goal, "knee": at, "knee against the matcher": test}
    return out


def _pair(draws: list[dict[str, Any]], method: str, at: int, name: str) -> tuple[list[Any], list[Any]]:
    """Values of each user by draw, at a strength and in the order of the matcher."""
    chosen, first = ([np.array(one["curves"][method][place][name]) for one in draws] for place in (at, 0))
    return chosen, first


def page(result: dict[str, Any]) -> str:
    """The tables for people.

    Args:
        result: of the command; parts that were not measured are left out.
    """
    lines = ["# Rerankers", ""]
    if "speed" in result:
        lines += [
            "1,000 candidates with 256 numbers each to 20 items, one list, one thread: milliseconds of processor time.",
            "", "| method | median | 10 % | 90 % | asked for |", "|---|---|---|---|---|",
        ]  # fmt: skip
        lines += [
            f"| {name} | {row['ms']:.2f} | {row['p10']:.2f} | {row['p90']:.2f} | at most {row['at most']:g} |"
            for name, row in result["speed"]["methods"].items()
        ]
        lines.append("")
    if "curves" in result:
        lines += [
            f"Movies, {len(result['draws'])} random splits: lists of {K} out of {DEPTH} of `{result['base']}`.",
            "ILAD: mean cosine distance of pairs, by vectors of texts; genres: share of all genres that a list shows; "
            "divergence: KL of a list's genres from the history's. The knee is in bold.",
            "", "| method | strength | ndcg@10 | ILAD | genres | divergence |", "|---|---|---|---|---|---|",
        ]  # fmt: skip
        for method, found in result["curves"].items():
            for at, point in enumerate(found["points"]):
                mark = "**" if at == found["knee"] else ""
                cells = [
                    f"{point['strength']:g}",
                    *(f"{point[n]:.4f}" for n in ("ndcg", "ilad", "genres", "divergence")),
                ]
                lines.append(f"| {mark}{method}{mark} | " + " | ".join(f"{mark}{cell}{mark}" for cell in cells) + " |")
        lines += ["", "The knee minus the matcher's own order, over users and draws:", ""]
        for method, found in result["curves"].items():
            parts = [
                f"{'ILAD' if name == 'ilad' else 'ndcg@10' if name == 'ndcg' else name} {row['difference']:+.4f} "
                f"[{row['low']:+.4f}, {row['high']:+.4f}]"
                for name, row in found["knee against the matcher"].items()
            ]
            strength = found["points"][found["knee"]]["strength"]
            lines.append(f"- {method} at {strength:g}: {', '.join(parts)}")
        lines.append("")
    if "learned" in result:
        row = result["learned"]
        lines += [
            f"PRM on the same splits, {row['depth']} candidates, texts as vectors: ndcg@10 {row['mean_a']:.4f}, "
            f"its matcher {row['mean_b']:.4f}; {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}].",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--base", default="ease", help="matcher whose lists are reordered")
    parser.add_argument("--only", choices=["speed", "curves", "learned"], default=None)
    args = parser.parse_args()
    set_mode("plain")
    file = RESULTS / "reranking.json"
    result: dict[str, Any] = read_json(file) if file.is_file() and args.only else {}
    if args.only in (None, "speed"):
        result["speed"] = speed()
    if args.only != "speed":
        draws = [draw_of(number, args.base) for number in track(range(args.draws), "draws")]
        result |= {
            "base": args.base,
            "draws": [{key: one[key] for key in ("hash", "split", "chosen")} for one, _, _ in draws],
        }
        result["curves"] = summarised([one for one, _, _ in draws])
        if args.only in (None, "learned"):
            found = [learned_of(data, base) for _, data, base in draws]
            learned, matcher = ([np.array(one[name]) for one in found] for name in ("prm", "matcher"))
            test = compare_paired(learned, matcher)
            by_draw = {name: [float(np.mean(one[name])) for one in found] for name in ("prm", "matcher")}
            result["learned"] = {
                **vars(test),
                "depth": 50,
                "lists": [one["lists"] for one in found],
                "by draw": by_draw,
            }
        draw_curves(result["curves"], RESULTS / "reranking.svg")
    result |= {"versions": versions(), "code": code_version(), "command": command_line()}
    keep("reranking", result, page(result))


if __name__ == "__main__":
    main()
