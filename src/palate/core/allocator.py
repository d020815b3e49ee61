"""How the process asks the system for memory while it trains."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's mallopt
KEEP, LARGEST = 1 << 30, 1 << 25


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep up to 1 GiB of freed memory instead of returning each table to the system at once.

    A training step allocates and frees tables of some MiB; by default each comes as new pages, which the system must
    find and clear, which can cost as much as a propagation. Blocks above 32 MiB, glibc's limit, still go back at once.
    It holds for the whole process and changes no result; what is kept counts as resident memory until it is used again.

    Returns:
        Whether it was set: only on Linux with glibc.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(TRIM_THRESHOLD, KEEP)) and bool(libc.mallopt(MMAP_THRESHOLD, LARGEST))
