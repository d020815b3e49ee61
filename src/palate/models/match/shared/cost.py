"""Seconds and memory of a closed form, estimated before it starts: said when large, refused when it cannot fit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from palate.core.errors import ConfigError

log = logging.getLogger("palate")
SAY_SECONDS, SAY_BYTES = 10.0, 2**30
"""What takes longer or more is said before it starts."""
TRIAL = 2048
"""Size of the matrix that speed is measured on."""
LARGE_FACTOR = 0.55
"""Time an N^3 of a large matrix against one of ``TRIAL``, measured on 4,000 to 23,000 items: its blocks are larger."""
MEASURE_FROM = 4000
"""Below this many items an inverse takes a second at most, and nothing is measured."""


def say_cost(
    name: str, n_items: int, matrices: int, inverses: int, invert: Callable[[np.ndarray, float], object]
) -> None:
    """Say how long a closed form takes and how much memory, if that is much.

    Args:
        name: of the model.
        n_items: N.
        matrices: float32 [N, N] held at once.
        inverses: of [N, N] that are computed.
        invert: the inverse that the model uses, of a matrix and a regularisation.

    Raises:
        ConfigError: if the memory that is available is not enough.
    """
    size, free = memory_of(n_items, matrices), available_memory()
    if free is not None and size > free:
        raise ConfigError(
            f"{name} needs about {_gib(size)} for matrices of {n_items:,} x {n_items:,}, and {_gib(free)} are free",
            key="model",
            hint="use lightgcn, item_knn or spectral, or a machine with more memory",
        )
    seconds = inverses * seconds_of(n_items, invert)
    if seconds > SAY_SECONDS or size > SAY_BYTES:
        times = f"{inverses} inverses" if inverses > 1 else "an inverse"
        about = f"about {seconds:.0f} s and {_gib(size)}"
        log.info("%s: %s of a %s x %s matrix, %s", name, times, f"{n_items:,}", f"{n_items:,}", about)


def fits_memory(n_items: int, matrices: int) -> bool:
    """Whether float32 [N, N] matrices fit into the memory that is available.

    Args:
        n_items: N.
        matrices: how many are held at once.
    """
    free = available_memory()
    return free is None or memory_of(n_items, matrices) <= free


def memory_of(n_items: int, matrices: int) -> int:
    """Bytes of float32 [N, N] matrices.

    Args:
        n_items: N.
        matrices: how many are held at once.
    """
    return 4 * n_items**2 * matrices


def seconds_of(n_items: int, invert: Callable[[np.ndarray, float], object]) -> float:
    """Seconds of one inverse of [N, N] on this machine, from one of ``TRIAL``; 0 for small matrices.

    Args:
        n_items: N.
        invert: of a matrix and a regularisation.
    """
    return 0.0 if n_items < MEASURE_FROM else _trial(invert) * LARGE_FACTOR * (n_items / TRIAL) ** 3


def available_memory() -> int | None:
    """Bytes that this process may still take: what the system has free, within the limit of its control group.

    Returns:
        None where the system does not say.
    """
    found = [value for value in (_meminfo(), _control_group()) if value is not None]
    return min(found) if found else None


@cache
def _trial(invert: Callable[[np.ndarray, float], object]) -> float:
    gram = np.eye(TRIAL, dtype=np.float32)
    started = time.perf_counter()
    invert(gram, 10.0)
    return time.perf_counter() - started


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _control_group() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if limit == "max" else int(limit) - int(used)


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
