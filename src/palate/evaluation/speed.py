"""Speed ratios that mean the same on every machine: each part beside its own bound, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from palate.metrics.topk import topk_dot
from palate.modules.graph import bipartite
from palate.modules.propagate import propagate

USERS, ITEMS, EDGES, DIM = 19_445, 7_050, 118_551, 64


def measure(repeats: int = 7) -> list[dict[str, Any]]:
    """Rows of (part, milliseconds, bound, ratio) on a random graph of Amazon Baby's size, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rng = np.random.default_rng(0)
        popular = rng.zipf(1.3, EDGES * 2)
        items = (popular[popular <= ITEMS][:EDGES] - 1).astype(np.int64)
        graph = bipartite(rng.integers(USERS, size=len(items)), items, USERS, ITEMS)
        x = torch.randn(USERS + ITEMS, DIM, generator=torch.Generator().manual_seed(0))
        index = graph.indices.long()
        gathered = torch.empty(len(index), DIM)
        spread = best_of(lambda: propagate(graph, x), repeats)
        bound = best_of(lambda: torch.index_select(x, 0, index, out=gathered), repeats)
        users, goods = x[:USERS], x[USERS:]
        ranking = best_of(lambda: topk_dot(users, goods, 20), max(2, repeats // 3))
        product = best_of(lambda: _gemm(users, goods), max(2, repeats // 3))
        return [
            _row("propagation", spread, "gather and write", bound),
            _row("full ranking, top 20", ranking, "GEMM", product),
        ]
    finally:
        torch.set_num_threads(threads)


def best_of(work: Callable[[], Any], repeats: int) -> float:
    """Least seconds over ``repeats`` calls after one warm-up: noise only adds."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _gemm(users: torch.Tensor, items: torch.Tensor, chunk: int = 128) -> None:
    for start in range(0, len(users), chunk):
        _ = users[start : start + chunk] @ items.T


def _row(part: str, seconds: float, bound: str, least: float) -> dict[str, Any]:
    return {"part": part, "ms": seconds * 1e3, "bound": bound, "bound ms": least * 1e3, "ratio": seconds / least}
