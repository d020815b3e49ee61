"""Stages in order, each within its budget; the last good list is what is shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from palate.serving.edition import Edition

from .stage import Ask, Slate, Stage

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A list, and how it came about.

    Attributes:
        said_by: the stage whose list it is. steps: (stage, seconds, ``ok`` | ``late`` | ``failed``).
    """

    slate: Slate
    said_by: str
    steps: tuple[tuple[str, float, str], ...]


class Pipeline:
    """Runs stages one after another.

    A stage that has nothing to do is left out; one that fails or is late is passed over: what it is still doing then
    goes on to no effect, and while all threads are taken by such stages, requests are answered by ``fallback`` after
    one budget.

    Args:
        stages: in order. fallback: answers when the first has not, and later stages go on from its list; it must be
            quick and not fail. threads: that stages run on.
    """

    def __init__(self, stages: Sequence[Stage], fallback: Stage, threads: int = 4) -> None:
        self.stages, self.fallback = tuple(stages), fallback
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="stage")

    def __call__(self, edition: Edition, ask: Ask) -> Answer:
        slate: Slate | None = None
        said_by, steps = "", list[tuple[str, float, str]]()
        for stage in self.stages:
            if stage.applies(ask):
                found = self._tried(stage, edition, ask, slate, steps)
                slate, said_by = (slate, said_by) if found is None else (found, stage.name)
            if slate is None:
                started = time.perf_counter()
                slate, said_by = self.fallback.run(edition, ask, None), self.fallback.name
                steps.append((said_by, time.perf_counter() - started, "ok"))
        assert slate is not None
        return Answer(Slate(slate.rows[: ask.k], slate.scores[: ask.k]), said_by, tuple(steps))

    def _tried(
        self, stage: Stage, edition: Edition, ask: Ask, slate: Slate | None, steps: list[tuple[str, float, str]]
    ) -> Slate | None:
        found, verdict, started = None, "ok", time.perf_counter()
        task = self.pool.submit(stage.run, edition, ask, slate)
        try:
            found = task.result(timeout=stage.budget)
        except TimeoutError:
            verdict = "late"
            task.cancel()
        # whatever a stage stumbles over, people get a list; the log says what it was
        except Exception:
            verdict = "failed"
            LOG.exception("stage %s failed", stage.name)
        steps.append((stage.name, time.perf_counter() - started, verdict))
        return found

    def close(self) -> None:
        """Let go of the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)
