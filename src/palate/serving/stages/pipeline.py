"""Stages in order, each within its budget; the last good list is shown."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.stage import Slate, Stage, StageRequest

FAST, DECAY, MAX_TIMES = 0.01, 0.9, 1000
"""Seconds below which a stage is fast; what remains of a slow time after a request; times that are remembered."""
LOG = logging.getLogger(__name__)


class Timing(NamedTuple):
    """The time of one stage.

    Attributes:
        stage: name of the stage.
        seconds: time taken.
        outcome: ``ok``, ``late`` or ``failed``.
    """

    stage: str
    seconds: float
    outcome: str


@dataclass(frozen=True)
class Answer:
    """A list, and how it came about.

    Attributes:
        slate: the list.
        source: name of the stage whose list it is.
        timings: stages in order, with their time and outcome.
        notes: parts of the request that stages left out.
    """

    slate: Slate
    source: str
    timings: tuple[Timing, ...]
    notes: tuple[str, ...] = ()


class Pipeline:
    """Runs stages one after another.

    A stage that was fast of late runs in the calling thread, which spares a request two changes of thread; any other
    runs in a thread of its own, which can be left behind.

    A stage that does not apply is left out; one that fails or is late is passed over: what it is still doing then goes
    on to no effect, and while all threads are taken by such stages, requests are answered by ``fallback`` after one
    budget.

    Args:
        stages: stages, in order.
        fallback: stage that answers when the first one has not, and from whose list later stages go on; it must be
            fast and not fail.
        threads: number of threads that stages run on.
    """

    def __init__(self, stages: Sequence[Stage], fallback: Stage, threads: int = 4) -> None:
        self.stages, self.fallback = tuple(stages), fallback
        self._seconds: dict[tuple[str, int], float] = {}
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="stage")

    def __call__(self, resolved: ResolvedModel, request: StageRequest) -> Answer:
        """Make a list.

        Args:
            resolved: model that answers, and its snapshot.
            request: the request.
        """
        slate: Slate | None = None
        source, timings = "", list[Timing]()
        for stage in self.stages:
            if stage.applies(resolved, request):
                made = self._try(stage, resolved, request, slate, timings)
                slate, source = (slate, source) if made is None else (made, stage.name)
            if slate is None:
                started = time.perf_counter()
                slate, source = self.fallback.run(resolved, request, None), self.fallback.name
                timings.append(Timing(source, time.perf_counter() - started, "ok"))
        assert slate is not None
        top = Slate(slate.rows[: request.k], slate.scores[: request.k])
        return Answer(top, source, tuple(timings), slate.notes)

    def is_fast(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        """Whether all stages that a request would pass were fast of late.

        Args:
            resolved: model that would answer, and its snapshot.
            request: the request.
        """
        return all(self._is_fast(stage, resolved) for stage in self.stages if stage.applies(resolved, request))

    def close(self) -> None:
        """Release the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _try(
        self, stage: Stage, resolved: ResolvedModel, request: StageRequest, slate: Slate | None, timings: list[Timing]
    ) -> Slate | None:
        made, outcome, started = None, "ok", time.perf_counter()
        try:
            if self._is_fast(stage, resolved):
                made = stage.run(resolved, request, slate)
            else:
                made = self._in_thread(stage, resolved, request, slate)
        except TimeoutError:
            outcome = "late"
        # whatever goes wrong in a stage, users get a list; the log says what it was
        except Exception:
            outcome = "failed"
            LOG.exception("stage %s failed", stage.name)
        seconds = time.perf_counter() - started
        self._remember(stage, resolved, seconds)
        timings.append(Timing(stage.name, seconds, outcome))
        return made

    def _is_fast(self, stage: Stage, resolved: ResolvedModel) -> bool:
        return self._seconds.get((stage.name, id(resolved.model)), math.inf) < min(FAST, stage.budget)

    def _in_thread(self, stage: Stage, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        task = self.pool.submit(stage.run, resolved, request, slate)
        try:
            return task.result(timeout=stage.budget)
        except TimeoutError:
            task.cancel()
            raise

    def _remember(self, stage: Stage, resolved: ResolvedModel, seconds: float) -> None:
        """Remember how slow a stage was; one slow run is forgotten after some tens of requests."""
        if len(self._seconds) > MAX_TIMES:
            self._seconds.clear()
        key = (stage.name, id(resolved.model))
        self._seconds[key] = max(seconds, DECAY * self._seconds.get(key, 0.0))
