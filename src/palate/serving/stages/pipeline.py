"""Stages in order, each within its budget; the last good list is shown."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from palate.core.errors import PalateError
from palate.serving.limited_log import LimitedLog
from palate.serving.snapshot import ResolvedModel
from palate.serving.stages.last_lists import LastLists
from palate.serving.stages.stage import Slate, Stage, StageRequest

FAST, DECAY, MAX_TIMES = 0.01, 0.9, 1000
"""Seconds below which a stage is fast; what remains of a slow time after a request; times that are remembered."""
WAIT_SECONDS, STRETCH = 2.0, 4
"""How long a stage may wait for a thread, which its budget does not count; and by how much it may take longer than its
budget while it is other work that keeps the processors busy."""
LOG_SECONDS = 60.0
CACHED, NONE = "cached", "none"
"""Source of a user's last list, and of a search that has no list."""

Fallback = Literal["new_user", "unknown_to_model", "late", "failed", "history_unavailable"]
"""Why a list is not the model's own for the user: nothing is known of the user; the model, which takes no history, was
fitted without the user; the first stage was late or failed; the database did not answer, and nothing else is known."""


_EMPTY = Slate(np.zeros(0, np.int64), np.zeros(0, np.float32))


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
        source: name of the stage whose list it is; :data:`CACHED` for the user's last list, :data:`NONE` for a search
            that was late or failed.
        timings: stages in order, with their time and outcome.
        notes: parts of the request that stages left out.
        fallback: why the first stage did not make it; None where it did.
    """

    slate: Slate
    source: str
    timings: tuple[Timing, ...]
    notes: tuple[str, ...] = ()
    fallback: Fallback | None = None


class ThreadClock:
    """Processor time of a thread, read by another one; time that passes where the system does not tell."""

    def __init__(self) -> None:
        self._clock: int | None = None
        self._began = time.monotonic()

    def start(self) -> None:
        """Start, in the thread that is measured."""
        if hasattr(time, "pthread_getcpuclockid"):
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._began = self._now()

    def seconds(self) -> float:
        """Seconds since :meth:`start`."""
        return self._now() - self._began

    def _now(self) -> float:
        return time.monotonic() if self._clock is None else time.clock_gettime(self._clock)


class Pipeline:
    """Runs stages one after another.

    A stage that was fast of late runs in the calling thread, which spares a request two changes of thread; any other
    runs in a thread of its own, which can be left behind. As many run at once as there are processors: more would only
    slow each other down, so the others wait for a thread, which their budgets do not count.

    A stage that does not apply is left out; one that fails or is late is passed over: what it is still doing then goes
    on to no effect. Where the first stage is passed over, the user's last list is shown, or that of ``fallback``; a
    search then has no list, for others are no answer to it.

    Args:
        stages: stages, in order.
        fallback: stage that answers when the first one has not, and from whose list later stages go on; it must be
            fast and not fail.
        threads: number of threads that stages run on; by default that of processors, from 2 to 4.

    Attributes:
        last_lists: the last list of each user.
    """

    def __init__(self, stages: Sequence[Stage], fallback: Stage, threads: int | None = None) -> None:
        self.stages, self.fallback = tuple(stages), fallback
        self.last_lists = LastLists()
        self._seconds: dict[tuple[str, bool, int], float] = {}
        self._log = LimitedLog(LOG_SECONDS)
        self.threads = threads or min(max(os.cpu_count() or 2, 2), 4)
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="stage")
        self._lock, self._left_behind = threading.Lock(), 0

    def __call__(self, resolved: ResolvedModel, request: StageRequest) -> Answer:
        """Make a list.

        Args:
            resolved: model that answers, and its snapshot.
            request: the request.

        Raises:
            PalateError: for a search that cannot be answered; the message says why.
        """
        slate: Slate | None = None
        source, timings, fallback = "", list[Timing](), None
        for stage in self.stages:
            if stage.applies(resolved, request):
                made = self._try(stage, resolved, request, slate, timings)
                if made is not None and slate is None:
                    self._keep(request, made)
                slate, source = (slate, source) if made is None else (made, stage.name)
            if slate is None and request.is_search:
                return Answer(_EMPTY, NONE, tuple(timings), (), _reason(timings, request))
            if slate is None:
                fallback = _reason(timings, request)
                slate, source = self._fall_back(resolved, request, fallback, timings)
        assert slate is not None
        top = Slate(slate.rows[: request.k], slate.scores[: request.k])
        return Answer(top, source, tuple(timings), slate.notes, fallback)

    def is_fast(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        """Whether all stages that a request would pass were fast of late.

        Args:
            resolved: model that would answer, and its snapshot.
            request: the request.
        """
        return all(self._is_fast(stage, resolved, request) for stage in self.stages if stage.applies(resolved, request))

    def warm_up(self, resolved: ResolvedModel, request: StageRequest) -> None:
        """Run the stages outside their budgets, so that no later request waits for what is only loaded once.

        A stage that fails is logged; it may still answer others.

        Args:
            resolved: model that answers, and its snapshot.
            request: a request like those to come.
        """
        slate = None
        for stage in self.stages:
            if not stage.applies(resolved, request):
                continue
            try:
                # the second time is that of later requests
                for _ in range(2):
                    started = time.perf_counter()
                    made = stage.run(resolved, request, slate)
                self._remember(stage, resolved, request, time.perf_counter() - started)
                slate = made
            except Exception as error:
                # a run without content cannot be searched, which is no failure
                if not (request.is_search and isinstance(error, PalateError)):
                    self._log_failure(stage, error)
            if slate is None:
                slate = self.fallback.run(resolved, request, None)

    def close(self) -> None:
        """Release the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _fall_back(
        self, resolved: ResolvedModel, request: StageRequest, reason: Fallback, timings: list[Timing]
    ) -> tuple[Slate, str]:
        """The user's last list where the own one is late, else that of the fallback; and its source."""
        started = time.perf_counter()
        kept = None if request.list_key is None else self.last_lists.get(request.list_key)
        if kept is not None and reason in ("late", "failed"):
            shown = resolved.snapshot.active[kept.rows] & ~np.isin(kept.rows, request.hidden)
            if request.allowed is not None:
                shown &= request.allowed[kept.rows]
            if shown.any():
                timings.append(Timing(CACHED, time.perf_counter() - started, "ok"))
                return kept.take(np.flatnonzero(shown)), CACHED
        slate = self.fallback.run(resolved, request, None)
        timings.append(Timing(self.fallback.name, time.perf_counter() - started, "ok"))
        return slate, self.fallback.name

    def _keep(self, request: StageRequest, slate: Slate) -> None:
        whole = request.allowed is None and not request.is_search and not request.is_narrowed
        if request.list_key is not None and whole and len(slate.rows):
            self.last_lists.put(request.list_key, slate)

    def _try(
        self, stage: Stage, resolved: ResolvedModel, request: StageRequest, slate: Slate | None, timings: list[Timing]
    ) -> Slate | None:
        made, outcome, started = None, "ok", time.perf_counter()
        try:
            if self._is_fast(stage, resolved, request):
                made = stage.run(resolved, request, slate)
                self._remember(stage, resolved, request, time.perf_counter() - started)
            else:
                made = self._in_thread(stage, resolved, request, slate)
        except TimeoutError:
            outcome = "late"
            seconds = time.perf_counter() - started
            self._log.warning(f"{stage.name} late", "the stage %s was late: not done in %.2f s", stage.name, seconds)
        # whatever goes wrong in a stage, users get a list; the log says what it was
        except Exception as error:
            if request.is_search and isinstance(error, PalateError):
                # what is searched for cannot be compared, which the caller can mend
                raise
            outcome = "failed"
            self._log_failure(stage, error)
        timings.append(Timing(stage.name, time.perf_counter() - started, outcome))
        return made

    def _log_failure(self, stage: Stage, error: Exception) -> None:
        self._log.warning(f"{stage.name} {type(error).__name__}", "the stage %s failed", stage.name, error=error)

    def _is_fast(self, stage: Stage, resolved: ResolvedModel, request: StageRequest) -> bool:
        return self._seconds.get(_key(stage, resolved, request), math.inf) < min(FAST, stage.budget)

    def _in_thread(self, stage: Stage, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        if self._left_behind >= self.threads:
            # no thread is free before one of these ends, which may be never
            raise TimeoutError
        begun, clock = threading.Event(), ThreadClock()

        def work() -> Slate:
            clock.start()
            begun.set()
            started = time.perf_counter()
            try:
                return stage.run(resolved, request, slate)
            finally:
                self._remember(stage, resolved, request, time.perf_counter() - started)

        task = self.pool.submit(work)
        if not begun.wait(WAIT_SECONDS) and task.cancel():
            raise TimeoutError
        budget = spare = stage.budget_for(request)
        deadline = time.monotonic() + STRETCH * budget
        while True:
            try:
                return task.result(timeout=spare)
            except TimeoutError:
                if task.done():
                    # it ended at this moment, or the stage itself waited too long for something
                    return task.result()
                # the time that it worked counts, up to a limit for one that waits for something
                spare = min(budget - clock.seconds(), deadline - time.monotonic())
                if spare <= 0:
                    self._leave_behind(task)
                    raise

    def _leave_behind(self, task: Future[Slate]) -> None:
        with self._lock:
            self._left_behind += 1

        def ended(task: Future[Slate]) -> None:
            with self._lock:
                self._left_behind -= 1

        task.add_done_callback(ended)

    def _remember(self, stage: Stage, resolved: ResolvedModel, request: StageRequest, seconds: float) -> None:
        """Remember how slow a stage was; one slow run is forgotten after some tens of requests."""
        if len(self._seconds) > MAX_TIMES:
            self._seconds.clear()
        key = _key(stage, resolved, request)
        self._seconds[key] = max(seconds, DECAY * self._seconds.get(key, 0.0))


def _key(stage: Stage, resolved: ResolvedModel, request: StageRequest) -> tuple[str, bool, int]:
    """What a time is remembered for; a search takes longer than a list."""
    return stage.name, request.is_search, id(resolved.model)


def _reason(timings: Sequence[Timing], request: StageRequest) -> Fallback:
    """Why the first stage has no list: what became of it, or why it did not apply."""
    if timings:
        return "late" if timings[0].outcome == "late" else "failed"
    return "unknown_to_model" if request.is_known else "new_user"
