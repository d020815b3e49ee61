"""What ``speed.py`` measures, one function for each kind of part; seconds come as pairs of cpu and wall."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

import palate
from _common import real
from palate.contracts import Matcher
from palate.contracts.parse import parse_model
from palate.core.context import RunContext
from palate.core.seeding import seed_torch
from palate.data.views import TrainView
from palate.evaluation import speed
from palate.features.plan import plan_content
from palate.metrics.held_out import validate
from palate.modules.graph import bipartite
from palate.training.loop import train

Pair = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One measurement: what to run, on how many threads."""

    run: Callable[..., dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    threads: int = 1


def propagation(data: str) -> dict[str, Any]:
    """Message passing over the training graph against the bandwidth bound."""
    view, _ = prepared(data, "popularity")
    return dict(speed.propagation(bipartite(view.users, view.items, view.n_users, view.n_items)))


def ranking() -> dict[str, Any]:
    """Exact top-20 against its bare matrix product."""
    return dict(speed.full_ranking())


def epochs(data: str, model: str, count: int) -> dict[str, Any]:
    """Seconds of a training epoch and of one evaluation on all of validation, after one of each to warm up."""
    view, made = prepared(data, model, {"epochs": count + 1})
    marks: list[Pair] = []
    begin = made.on_epoch

    def on_epoch(epoch: int, rng: np.random.Generator) -> None:
        marks.append(clocks())
        begin(epoch, rng)

    object.__setattr__(made, "on_epoch", on_epoch)
    train(made, replace(view, valid=None), RunContext())
    marks.append(clocks())
    spans = [(two[0] - one[0], two[1] - one[1]) for one, two in pairwise(marks[1:])]
    made.eval()
    assert view.valid is not None
    with torch.inference_mode():
        asked = [timed(lambda: validate(made.scorer(), view.valid)) for _ in range(4)][1:]
    return {"epoch": median(spans), "evaluate": median(asked), "epochs": count, "users": len(view.valid)}


def solve(data: str, model: str, repeats: int) -> dict[str, Any]:
    """Seconds to fit given settings in closed form, and to recommend 20 items to every user."""
    turns = [_solved(data, model) for _ in range(repeats)]
    fits, lists = zip(*turns)
    return {"fit": median(fits), "recommend": median(lists)}


def whole(data: str, model: str) -> dict[str, Any]:
    """Seconds of a fit with all that it chooses on validation, content included, test left sealed."""
    loaded = palate.load(real(data))
    spent = timed(lambda: parse_model(model).fit(loaded, device="cpu"))
    return {"fit": dict(zip(("cpu", "wall"), spent)), "seconds": spent[1]}


def _solved(data: str, model: str) -> tuple[Pair, Pair]:
    view, made = prepared(data, model)
    view = replace(view, valid=None)
    users = view.user_batch(np.arange(view.n_users))
    fit = timed(lambda: made.solve(view, RunContext()))
    with torch.inference_mode():
        return fit, timed(lambda: made.scorer().topk(users, 20, users.history))


def learn(data: str, model: str, seeds: int) -> dict[str, Any]:
    """How good validation gets with early stopping, and what training costs until there, evaluations left out."""
    runs = []
    loaded = palate.load(real(data))
    for seed in range(seeds):
        made = parse_model(model).fit(loaded, seed=seed, refit=False, device="cpu")
        history = made.deployment.log.history
        best = max((record for record in history if "valid" in record), key=lambda record: record["valid"])
        wall = sum(record["seconds"] for record in history[: best["epoch"] + 1])
        runs.append({"seed": seed, "valid": best["valid"], "epochs": best["epoch"] + 1, "train wall s": wall})
    return {"valid recall@20": statistics.mean(run["valid"] for run in runs), "runs": runs}


def prepared(data: str, model: str, changes: dict[str, Any] | None = None) -> tuple[TrainView, Matcher]:
    """The training view with the model's content, and the model set up on it but not trained."""
    loaded = palate.load(real(data))
    made = parse_model(model, changes)
    content = plan_content(loaded)
    content = content if made.capabilities.content or made.requirements.content else content.empty()
    view = content.view(loaded.select_view(), loaded, dense=made.requirements.dense, fields=made.requirements.fields)
    seed_torch(0, "init", made.name)
    made.setup(view, RunContext())
    return view, made


def clocks() -> Pair:
    """(cpu, wall) seconds now."""
    return time.process_time(), time.perf_counter()


def timed(work: Callable[[], Any]) -> Pair:
    """(cpu, wall) seconds of a call."""
    start = clocks()
    work()
    end = clocks()
    return end[0] - start[0], end[1] - start[1]


def median(pairs: Sequence[Pair]) -> dict[str, float]:
    """Of each clock by itself."""
    cpu, wall = (statistics.median(column) for column in zip(*pairs))
    return {"cpu": cpu, "wall": wall}


BABY, TIKTOK = {"data": "amazon-baby"}, {"data": "tiktok"}
LIGHT, FREEDOM = {"model": "lightgcn:layers=3"}, {"model": "freedom@faithful"}
PARTS: dict[str, Part] = {
    "propagation baby": Part(propagation, BABY),
    "ranking": Part(ranking),
    "bpr baby": Part(epochs, BABY | {"model": "bpr@tuned", "count": 60}),
    "bpr baby adam": Part(epochs, BABY | {"model": "bpr@faithful", "count": 5}),
    "lightgcn baby": Part(epochs, BABY | LIGHT | {"count": 5}),
    "lightgcn baby, 2 threads": Part(epochs, BABY | LIGHT | {"count": 7}, 2),
    "freedom baby": Part(epochs, BABY | FREEDOM | {"count": 5}),
    "freedom baby, 2 threads": Part(epochs, BABY | FREEDOM | {"count": 7}, 2),
    "lightgcn tiktok": Part(epochs, TIKTOK | LIGHT | {"count": 5}),
    "freedom tiktok": Part(epochs, TIKTOK | FREEDOM | {"count": 5}),
    "bm3 tiktok": Part(epochs, TIKTOK | {"model": "bm3@faithful", "count": 5}),
    "lgmrec tiktok": Part(epochs, TIKTOK | {"model": "lgmrec@faithful", "count": 3}),
    "item_knn baby k20": Part(solve, BABY | {"model": "item_knn:k=20;shrink=0", "repeats": 5}),
    "item_knn baby k100": Part(solve, BABY | {"model": "item_knn:k=100;shrink=0", "repeats": 5}),
    "ease baby": Part(solve, BABY | {"model": "ease:l2=200", "repeats": 2}),
    "blend baby": Part(whole, BABY | {"model": "blend"}, 2),
    "bpr baby quality": Part(learn, BABY | {"model": "bpr@tuned", "seeds": 3}),
    "bpr baby adam quality": Part(learn, BABY | {"model": "bpr:penalty=squares;reg=0.03", "seeds": 3}),
}
