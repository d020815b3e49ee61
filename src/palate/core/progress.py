"""One progress bar with an ETA for all long work: a terminal, a notebook, plain log lines, or silence."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

Mode = Literal["auto", "terminal", "notebook", "plain", "quiet"]
T = TypeVar("T")
log = logging.getLogger("palate")
_mode: Mode = "auto"
_stage: ContextVar[str] = ContextVar("stage", default="")


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
def stage(name: str) -> Iterator[None]:
    """Say what a long piece of work is part of: progress inside is described as ``name: description``.

    In plain mode the stage itself is a line as well.

    Args:
        name: such as ``member 3 of 6 content_kernel``.
    """
    outer = _stage.get()
    token = _stage.set(f"{outer}: {name}" if outer else name)
    try:
        if resolved_mode() != "quiet":
            log.info("%s", _stage.get())
        yield
    finally:
        _stage.reset(token)


@contextmanager
def progress(description: str, total: int | None, eta: bool = True) -> Iterator[Advance]:
    """Yield ``advance(steps=1, note="")``; the bar shows done/total, an ETA and the latest note.

    The ETA takes further steps to cost what those so far did; without ``eta``, where steps cost unlike, none is given.
    A loop that ends before ``total`` says so in its last line.
    """
    mode = resolved_mode()
    description = f"{_stage.get()}: {description}" if _stage.get() else description
    if mode == "quiet":
        yield lambda steps=1, note="": None
        return
    if mode == "plain":
        lines = _PlainLines(description, total, eta)
        yield lines.advance
        lines.close()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True) if mode == "terminal" else Console(force_jupyter=True)
    remaining = [TimeRemainingColumn()] if eta else []
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *remaining,
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
        shown = bar.tasks[0]
        if total and 0 < shown.completed < total:
            bar.update(task, note=f"stopped early {shown.fields['note']}".rstrip())


def track(
    things: Iterable[T], description: str, total: int | None = None, names: Callable[[T], str] | None = None
) -> Iterator[T]:
    """Iterate with a progress bar.

    Args:
        things: what to iterate over.
        description: of the work.
        total: how many they are, if they have no length.
        names: what a thing is called. Things with names may cost unlike, so there is no ETA, each is announced before
            its work begins, and what goes on inside is a stage of it.
    """
    size = total if total is not None else (len(things) if isinstance(things, Sized) else None)
    if names is not None:
        for index, thing in enumerate(things, start=1):
            with stage(f"{description} {index}{f' of {size}' if size else ''} {names(thing)}"):
                yield thing
        return
    with progress(description, size) as advance:
        for thing in things:
            yield thing
            advance()


class _PlainLines:
    """One line every few seconds, and one at the end.

    Args:
        description: of the work.
        total: number of steps, if known.
        eta: whether to say how long the rest takes.
        every: seconds between two lines.
    """

    def __init__(self, description: str, total: int | None, eta: bool, every: float = 5.0) -> None:
        self.description, self.total, self.eta, self.every = description, total, eta, every
        self.start = self.last = time.monotonic()
        self.done, self.shown, self.note = 0, 0, ""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count steps.

        Args:
            steps: done since the last call.
            note: shown at the end of the line.
        """
        self.done, self.note = self.done + steps, note
        now = time.monotonic()
        if now - self.last >= self.every or (self.done == self.total and steps):
            self.last = now
            left = ""
            if self.eta and self.total and 0 < self.done < self.total:
                left = f", about {(now - self.start) / self.done * (self.total - self.done):.0f} s left"
            self.line(left)

    def close(self) -> None:
        """Say where the work ended, unless the last line said it."""
        if self.total and 0 < self.done < self.total:
            self.line(", stopped early")
        elif self.done != self.shown:
            self.line("")

    def line(self, tail: str) -> None:
        """Write one line."""
        self.shown = self.done
        done = f"{self.done}/{self.total}" if self.total else str(self.done)
        log.info("%s", f"{self.description}: {done}{tail} {self.note}".rstrip())
