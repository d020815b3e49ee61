"""One progress bar with an ETA for all long work: a terminal, a notebook, plain log lines, or silence."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Literal, TypeVar

Mode = Literal["auto", "terminal", "notebook", "plain", "quiet"]
T = TypeVar("T")
log = logging.getLogger("palate")
_mode: Mode = "auto"


def set_mode(mode: Mode) -> None:
    """Choose how progress shows. ``auto``: a bar on a terminal or in a notebook, otherwise log lines."""
    global _mode
    _mode = mode


def resolved_mode() -> Mode:
    """The mode in force, ``auto`` resolved; the environment variable PALATE_PROGRESS has the last word."""
    chosen = os.environ.get("PALATE_PROGRESS", _mode)
    if chosen in ("terminal", "notebook", "plain", "quiet"):
        return chosen  # type: ignore[return-value]
    if "ipykernel" in sys.modules:
        return "notebook"
    return "terminal" if sys.stderr.isatty() else "plain"


Advance = Callable[..., None]


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """Yield ``advance(steps=1, note="")``; the bar shows done/total, an ETA and the latest note."""
    mode = resolved_mode()
    if mode == "quiet":
        yield lambda steps=1, note="": None
        return
    if mode == "plain":
        yield _plain_lines(description, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True) if mode == "terminal" else Console(force_jupyter=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str | None = None) -> None:
            if note is None:
                bar.update(task, advance=steps)
            else:
                bar.update(task, advance=steps, note=note)

        yield advance


def track(things: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar."""
    size = total if total is not None else (len(things) if isinstance(things, Sized) else None)
    with progress(description, size) as advance:
        for thing in things:
            yield thing
            advance()


def _plain_lines(description: str, total: int | None, every: float = 5.0) -> Advance:
    start = last = time.monotonic()
    done = 0

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last < every and done != total:
            return
        last = now
        eta = f", about {(now - start) / done * (total - done):.0f} s left" if total and done else ""
        log.info("%s: %s%s%s %s", description, done, f"/{total}" if total else "", eta, note)

    return advance
