"""Stages in order, each within its budget; the last good list is what is shown."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from palate.serving.snapshot import ModelSnapshot
from palate.serving.stages.stage import Slate, Stage, StageRequest

QUICK, FADES, MOST = 0.01, 0.9, 1000
"""Seconds below which a stage is quick; what remains of a time at the next request; voices remembered."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A list, and how it came about.

    Attributes:
        said_by: the stage whose list it is. steps: (stage, seconds, ``ok`` | ``late`` | ``failed``).
    """

    slate: Slate
    source: str
    timings: tuple[tuple[str, float, str], ...]


class Pipeline:
    """Runs stages one after another.

    A stage that was quick of late runs in the thread that asks, which spares a request two changes of thread; any other
    runs beside it, where it can be left behind.

    A stage that has nothing to do is left out; one that fails or is late is passed over: what it is still doing then
    goes on to no effect, and while all threads are taken by such stages, requests are answered by ``fallback`` after
    one budget.

    Args:
        stages: in order. fallback: answers when the first has not, and later stages go on from its list; it must be
            quick and not fail. threads: that stages run on.
    """

    def __init__(self, stages: Sequence[Stage], fallback: Stage, threads: int = 4) -> None:
        self.stages, self.fallback = tuple(stages), fallback
        self._usual: dict[tuple[str, int], float] = {}
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="stage")

    def __call__(self, snapshot: ModelSnapshot, request: StageRequest) -> Answer:
        slate: Slate | None = None
        source, steps = "", list[tuple[str, float, str]]()
        for stage in self.stages:
            if stage.applies(request):
                found = self._tried(stage, snapshot, request, slate, steps)
                slate, source = (slate, source) if found is None else (found, stage.name)
            if slate is None:
                started = time.perf_counter()
                slate, source = self.fallback.run(snapshot, request, None), self.fallback.name
                steps.append((source, time.perf_counter() - started, "ok"))
        assert slate is not None
        return Answer(Slate(slate.rows[: request.k], slate.scores[: request.k]), source, tuple(steps))

    def _tried(
        self,
        stage: Stage,
        snapshot: ModelSnapshot,
        request: StageRequest,
        slate: Slate | None,
        steps: list[tuple[str, float, str]],
    ) -> Slate | None:
        found, verdict, started = None, "ok", time.perf_counter()
        try:
            if self._quick(stage, request):
                found = stage.run(snapshot, request, slate)
            else:
                found = self._beside(stage, snapshot, request, slate)
        except TimeoutError:
            verdict = "late"
        # whatever a stage stumbles over, people get a list; the log says what it was
        except Exception:
            verdict = "failed"
            LOG.exception("stage %s failed", stage.name)
        seconds = time.perf_counter() - started
        self._note(stage, request, seconds)
        steps.append((stage.name, seconds, verdict))
        return found

    def quick(self, request: StageRequest) -> bool:
        """Whether all that this request would go through was quick of late."""
        return all(self._quick(stage, request) for stage in self.stages if stage.applies(request))

    def _quick(self, stage: Stage, request: StageRequest) -> bool:
        return self._usual.get((stage.name, id(request.model)), math.inf) < min(QUICK, stage.budget)

    def _beside(self, stage: Stage, snapshot: ModelSnapshot, request: StageRequest, slate: Slate | None) -> Slate:
        task = self.pool.submit(stage.run, snapshot, request, slate)
        try:
            return task.result(timeout=stage.budget)
        except TimeoutError:
            task.cancel()
            raise

    def _note(self, stage: Stage, request: StageRequest, seconds: float) -> None:
        """Remember how slow it was; what was slow once is forgotten after some tens of requests."""
        if len(self._usual) > MOST:
            self._usual.clear()
        known = (stage.name, id(request.model))
        self._usual[known] = max(seconds, FADES * self._usual.get(known, 0.0))

    def close(self) -> None:
        """Let go of the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)
