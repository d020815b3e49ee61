"""Speed ratios that mean the same on every machine: each part beside its own bound, measured in turns with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from palate.core.batch import RaggedArray
from palate.modules.graph import Graph, bipartite
from palate.modules.propagate import propagate
from palate.ranking.dot import topk_dot

USERS, ITEMS, EDGES, DIM = 19_445, 7_050, 118_551, 64
"""The training part of Amazon Baby, whose size random data takes where it is not at hand."""


def measure(repeats: int = 7) -> list[dict[str, Any]]:
    """Rows of (part, milliseconds, bound, ratio) on random data of Amazon Baby's size, one thread."""
    spread, ranking = propagation(random_graph(), repeats=repeats), full_ranking(repeats=max(2, repeats // 3))
    return [
        _row("propagation", spread["ms"], "reading every byte once", spread["limit_ms"]),
        _row("full ranking, top 20", ranking["ms"], "matrix product", ranking["product_ms"]),
    ]


def random_graph() -> Graph:
    """Users and items with popularity falling as in a shop."""
    rng = np.random.default_rng(0)
    popularity = (1 + np.arange(ITEMS)) ** -0.6
    items = rng.choice(ITEMS, EDGES, p=popularity / popularity.sum())
    return bipartite(rng.integers(0, USERS, EDGES), items, USERS, ITEMS)


def propagation(graph: Graph, dim: int = DIM, repeats: int = 20) -> dict[str, float]:
    """One product with the graph against the time to read once all bytes it must touch.

    These are a row of ``x`` for each stored edge, the CSR arrays and the output; the bandwidth is that of a plain read
    of an array as large as ``x`` (cache or memory, wherever ``x`` lives). One thread, the best of ``repeats`` turns.

    Returns:
        ms, limit_ms, share (limit / time), read_gb_per_s.
    """
    x = torch.randn(graph.shape[1], dim, generator=torch.Generator().manual_seed(0))
    row = dim * x.element_size()
    touched = graph.n_edges * (row + graph.indices.element_size() + 4) + graph.indptr.nbytes + graph.shape[0] * row
    with one_thread():
        turns = [(_seconds(lambda: propagate(graph, x)), _seconds(x.sum)) for _ in range(5 * repeats)]
    spread, read = (min(column) for column in zip(*turns, strict=True))
    limit = touched * read / x.nbytes
    return {
        "ms": spread * 1e3,
        "limit_ms": limit * 1e3,
        "share": limit / spread,
        "read_gb_per_s": x.nbytes / read / 1e9,
    }


def full_ranking(
    users: int = USERS, items: int = ITEMS, dim: int = DIM, k: int = 20, repeats: int = 5, chunk: int = 128
) -> dict[str, float]:
    """Exact top-k over all items, seen ones left out, against its matrix product alone; one thread, medians of turns.

    Returns:
        ms, product_ms, ratio, users_per_s.
    """
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(users, dim, generator=draw), torch.randn(items, dim, generator=draw)
    rng = np.random.default_rng(0)
    seen = RaggedArray.build(rng.integers(0, users, users * 6), rng.integers(0, items, users * 6), users)
    buffer = torch.empty(chunk, items)

    def product() -> None:
        for part in left.split(chunk):
            torch.mm(part, right.T, out=buffer[: len(part)])

    with one_thread():
        ranking = lambda: topk_dot(left, right, k, exclude=seen, chunk=chunk)  # noqa: E731
        turns = [(_seconds(product), _seconds(ranking)) for _ in range(repeats + 1)][1:]
    least, full = (float(np.median(column)) for column in zip(*turns, strict=True))
    ratio = float(np.median([full / least for least, full in turns]))
    return {"ms": full * 1e3, "product_ms": least * 1e3, "ratio": ratio, "users_per_s": users / full}


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread, afterwards as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _seconds(work: Callable[[], Any]) -> float:
    # the thread's own time: what others do on the machine does not count
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _row(part: str, ms: float, bound: str, least: float) -> dict[str, Any]:
    return {"part": part, "ms": ms, "bound": bound, "bound ms": least, "ratio": ms / least}
