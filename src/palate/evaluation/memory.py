"""Peak memory of one stretch of work, not of everything the process did before."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import resource
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> int:
    """Forget the peak so far where the system can (Linux); returns the bytes held now.

    Memory that nothing uses any more is given back first where the C library can (glibc), else what work before this
    one left with the allocator would count as held.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR.write_text("5")
    except OSError:
        return peak()
    return peak()


def peak() -> int:
    """Bytes of resident memory at the peak since the last reset, or since the start where nothing can be reset."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
