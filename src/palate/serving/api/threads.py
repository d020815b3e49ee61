"""Threads apart from those of lists, so that neither waits for the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

Result = TypeVar("Result")
Kind = Literal["files", "health"]
THREADS: dict[Kind, int] = {"files": 4, "health": 4}
_LIMITERS: dict[Kind, RunVar[anyio.CapacityLimiter]] = {kind: RunVar(f"palate_{kind}") for kind in THREADS}


async def run_apart(kind: Kind, call: Callable[[], Result]) -> Result:
    """The result of a call in a thread of a kind; calls beyond the number of its threads wait.

    Args:
        kind: ``files`` for pictures, ``health`` for what tells the state of the server.
        call: the call.
    """
    limiter = _LIMITERS[kind].get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(THREADS[kind])
        _LIMITERS[kind].set(limiter)
    return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
