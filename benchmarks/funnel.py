"""The funnel: what each stage adds, and how fast a server answers with all of them.

    python benchmarks/funnel.py quality [--data movies shop] [--draws 3]
    python benchmarks/funnel.py serve [--rate 50] [--seconds 60]

quality: random splits of the films and of a simulated shop. Each draw fits the funnel once; its lists of ten after the
matcher, after the ranker and after the reranker are judged on the test users: recall, NDCG, and the mean distance
between the items of a list by their content (ILAD). Differences are paired by user within draws. serve: the server
of the funnel of films with two workers; requests come at Poisson times, latency counts from when they were to be sent.
Written: ``results/funnel.*``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palate
from _common import RESULTS, WORK, fresh, keep, real
from _load import Answer, Client, open_loop, request, run, summary
from _served import Served
from _shops import ids
from palate.contracts.parse import parse_pipeline
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.openings import one_opening, open_test
from palate.evaluation.runs import command_line
from palate.features.plan import ContentPlan, plan_content
from palate.metrics.bootstrap import compare_paired
from palate.metrics.diversity import intra_list_distance
from palate.metrics.lists import evaluate_lists
from palate.models.rerank.funnel import Funnel
from palate.training.saving import versions

PIPELINE = "match=ease,rank=din:content=false,rerank=ssd:vectors={};diversity=0.5"
COMPARED = {"movies": "text", "shop": "attributes"}
STAGES = ("match", "rank", "rerank")
K, AIM = 10, 25.0
"""Length of lists; milliseconds at p99. ``COMPARED``: the content by which items are compared."""
Values = dict[str, NDArray[np.float64]]


def dataset(name: str, draw: int) -> Dataset:
    """A random split of a data set; in the simulated shop a draw is a world."""
    if name == "movies":
        return palate.load(real("movies"), split=f"random:seed={draw}")
    folder = WORK / "funnel" / f"world-{draw}"
    if not (folder / "world.json").is_file():
        sizes = ["--items", "1500", "--users", "1500", "--interactions", "25", "--no-media", "--impression-share", "0"]
        subprocess.run([sys.executable, "-m", "palate", "world", str(folder), "--seed", str(draw), *sizes], check=True)
    return palate.load(folder, split=f"random:seed={draw}")


def content(data: Dataset, name: str, draw: int) -> ContentPlan:
    """The content by which items are compared, and nothing else."""
    others = dict.fromkeys(set(data.items.modalities) - {COMPARED[name]}, "none")
    return plan_content(data, others, WORK / "funnel" / f"store-{name}-{draw if name == 'shop' else 0}")


def judge(model: Funnel, data: Dataset, text: Any) -> dict[str, Values]:
    """Metrics of each test user after each stage."""
    with one_opening("funnel.py"):
        open_test(data)
    queries = data.test_queries()
    vectors = np.where(text.present[:, None], text.values, 0).astype(np.float32)
    out: dict[str, Values] = {}
    for stage in STAGES:
        lists, _ = model.through(stage).scorer().topk(queries.users, K, queries.exclude, queries.candidates)  # type: ignore[arg-type]
        found = evaluate_lists(lists, queries.relevant, ks=(K,))
        spread = np.nan_to_num(intra_list_distance(lists, vectors, present=text.present))
        out[stage] = {"recall": found[f"recall@{K}"], "ndcg": found[f"ndcg@{K}"], "ilad": spread}
    return out


def quality(names: list[str], draws: int) -> dict[str, Any]:
    """Stages of each data set over its draws."""
    found: dict[str, Any] = {}
    for name in names:
        made: list[dict[str, Values]] = []
        hashes = []
        for draw in track(range(draws), name):
            data = dataset(name, draw)
            plan = content(data, name, draw)
            model = Funnel(**parse_pipeline(PIPELINE.format(COMPARED[name]))).fit(data, seed=draw, content=plan)
            made.append(judge(model, data, plan.fit(data.select_view(), data)[1][COMPARED[name]]))
            hashes.append(data.hash)
        rows = {
            stage: {m: float(np.mean([one[stage][m].mean() for one in made])) for m in made[0][stage]}
            for stage in STAGES
        }
        tests = {
            f"{after} after {before}": {
                metric: asdict(
                    compare_paired([one[after][metric] for one in made], [one[before][metric] for one in made])
                )
                for metric in rows[after]
            }
            for before, after in pairwise(STAGES)
        }
        found[name] = {"rows": rows, "tests": tests, "draws": draws, "hashes": hashes,
                       "pipeline": PIPELINE.format(COMPARED[name]),
                       "versions": versions(), "command": command_line()}  # fmt: skip
    return found


def films_run() -> Path:
    """The funnel of films, fitted once under PALATE_WORK."""
    folder = WORK / "funnel" / "run-films"
    if not (folder / "manifest.json").is_file():
        data = dataset("movies", 0)
        model = Funnel(**parse_pipeline(PIPELINE.format(COMPARED["movies"]))).fit(
            data, seed=0, content=content(data, "movies", 0)
        )
        model.save(folder)
    return folder


def serve(rate: float, seconds: float) -> dict[str, Any]:
    """Latency of lists of a funnel, and what became of its stages."""
    place = films_run()
    drawn = random.Random(1).choices(ids(place)[0], k=4096)
    raw = [request("POST", "/v1/recommend", {"user": user, "k": K}) for user in drawn]
    outcomes: dict[str, int] = {}

    def look(number: int, answer: Answer, body: bytes) -> None:
        if answer.status == 200:
            for stage in json.loads(body).get("timings", []):
                key = f"{stage['stage']} {stage['outcome']}"
                outcomes[key] = outcomes.get(key, 0) + 1

    with Served(place, fresh(WORK / "funnel" / "state"), "--rate", "0", "--no-page", workers=2) as served:

        async def main() -> list[Answer]:
            client = await Client(served.port).open()
            await open_loop(client, lambda number: raw[number % len(raw)], rate, 5, seed=9)
            return await open_loop(client, lambda number: raw[number % len(raw)], rate, seconds, look=look)

        answers = run(main())
        return {"rate": rate, "seconds": seconds, **summary(answers), "stages": outcomes,
                "cores_taken_by_others": served.foreign_load(),
                "pipeline": PIPELINE.format(COMPARED["movies"]), "versions": versions(),
                "command": command_line()}  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    lines = ["# The funnel", ""]
    for name, found in result.get("quality", {}).items():
        lines += [f"## {name}, {found['draws']} draws, `{found['pipeline']}`", "",
                  f"| after | recall@{K} | NDCG@{K} | ILAD |", "|---" * 4 + "|"]  # fmt: skip
        lines += [f"| {s} | {r['recall']:.4f} | {r['ndcg']:.4f} | {r['ilad']:.3f} |" for s, r in found["rows"].items()]
        lines += ["", "| gain, 95 % interval over users and draws | recall | NDCG | ILAD |", "|---" * 4 + "|"]
        for pair, tests in found["tests"].items():
            cells = [f"{t['difference']:+.4f} [{t['low']:+.4f}, {t['high']:+.4f}]" for t in tests.values()]
            lines.append(f"| {pair} | {' | '.join(cells)} |")
        lines.append("")
    if "serve" in result:
        s = result["serve"]
        lines += [f"## Served: {s['rate']:.0f} requests a second for {s['seconds']:.0f} s, two workers", "",
                  f"p50 {s['ms']['p50']:.0f} ms, p99 {s['ms']['p99']:.0f} ms (aim {AIM:.0f}); "
                  f"{s['requests']} requests, "
                  f"statuses {s['statuses']}; other programs took {s['cores_taken_by_others']:.1f} cores. "
                  f"Stages: {s['stages']}.", ""]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("quality", "serve"))
    parser.add_argument("--data", nargs="+", choices=("movies", "shop"), default=["movies", "shop"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    set_mode("plain")
    file = RESULTS / "funnel.json"
    result = json.loads(file.read_text()) if file.is_file() else {}
    if args.what == "quality":
        result["quality"] = result.get("quality", {}) | quality(args.data, args.draws)
    else:
        result["serve"] = serve(args.rate, args.seconds)
    keep("funnel", result, table(result))


if __name__ == "__main__":
    main()
