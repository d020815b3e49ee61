"""Full ranking against its own matrix product, in the same run and in CPU time: the machine's speed cancels out."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from palate.core.batch import Lists
from palate.metrics.topk import topk_dot


def measure(
    users: int = 19_445, items: int = 7_050, dim: int = 64, k: int = 20, chunk: int = 128, repeats: int = 5
) -> dict[str, float]:
    """CPU seconds of the product and of full ranking with seen items masked, and their ratio (one thread, medians)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        draw = torch.Generator().manual_seed(0)
        left, right = torch.randn(users, dim, generator=draw), torch.randn(items, dim, generator=draw)
        rng = np.random.default_rng(0)
        seen = Lists.build(rng.integers(0, users, users * 6), rng.integers(0, items, users * 6), users)
        buffer = torch.empty(chunk, items)

        def product() -> None:
            for start in range(0, users, chunk):
                part = left[start : start + chunk]
                torch.mm(part, right.T, out=buffer[: len(part)])

        def ranking() -> None:
            topk_dot(left, right, k, exclude=seen, chunk=chunk)

        # Interleaved, so that a noisy neighbour slows both alike.
        pairs = [(_seconds(product), _seconds(ranking)) for _ in range(repeats + 1)][1:]
    finally:
        torch.set_num_threads(threads)
    gemm, full = (float(np.median(column)) for column in zip(*pairs, strict=True))
    return {
        "users": users,
        "items": items,
        "dim": dim,
        "k": k,
        "gemm_s": round(gemm, 4),
        "ranking_s": round(full, 4),
        "ratio": round(float(np.median([full / gemm for gemm, full in pairs])), 3),
        "users_per_s": round(users / full),
    }


def _seconds(work: Callable[[], None]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("users", 19_445), ("items", 7_050), ("dim", 64), ("k", 20), ("chunk", 128), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    print(json.dumps(measure(**vars(parser.parse_args()))))
