"""Generation: content about an item for a user, judged text by text by the scorers of the generator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from palate.contracts import GenerationRequest, Generator, Judgement, Task, tasks
from palate.contracts.task import Part
from palate.core.context import RunContext
from palate.data.dataset import Dataset
from palate.data.views import TrainView

MAX_REQUESTS = 500
BATCH = 32


@dataclass(frozen=True)
class GenerationQueries:
    """What is to be generated in a part: one item a user, which the user took.

    Attributes:
        requests: one a user.
    """

    requests: tuple[GenerationRequest, ...]

    def __len__(self) -> int:
        return len(self.requests)


class GenerateTask(Task[Generator]):
    """Personalised content; a generator names its scorers, the first of whose metrics is the headline."""

    name: ClassVar[str] = "generate"
    unit: ClassVar[str] = "text"

    def headline(self, data: Dataset) -> str:
        """The share of requests that got content."""
        return "answered"

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """The headline; scorers add their own columns to the judgement."""
        return ("answered",)

    def validator(self, model: Generator, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """Nothing: generating is too slow to decide between epochs."""
        return None

    def questions(self, data: Dataset, part: Part) -> GenerationQueries:
        """The first item that each of at most 500 users took in the part."""
        queries = data.test_queries() if part == "test" else data.select_view().valid
        if queries is None:
            return GenerationQueries(())
        frame, requests = data.items.frame, []
        for row in range(min(len(queries), MAX_REQUESTS)):
            history = [frame.row(int(item), named=True) for item in queries.users.history[row][-20:]]
            item = frame.row(int(queries.relevant[row][0]), named=True)
            requests.append(GenerationRequest("explanation", item, history))
        return GenerationQueries(tuple(requests))

    def judge(self, model: Generator, data: Dataset, questions: GenerationQueries) -> Judgement:
        """Generate for every request, a batch at a time, and let the scorers judge."""
        kind = "explanation" if "explanation" in model.kinds else model.kinds[0]
        requests = [replace(one, kind=kind) for one in questions.requests]
        started = time.perf_counter()
        made = [
            one
            for start in range(0, len(requests), BATCH)
            for one in model.generate(requests[start : start + BATCH], seed=start)
        ]
        seconds = time.perf_counter() - started
        values: dict[str, list[float]] = {"answered": [float(bool(one.text or one.image or one.video)) for one in made]}
        for scorer in model.scorers():
            for at, (request, one) in enumerate(zip(requests, made)):
                for name, value in scorer.score(request.item, request.history, one).items():
                    values.setdefault(name, [float("nan")] * len(made))[at] = float(value)
        about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "model": model.name}
        per_unit = {name: np.array(each, np.float64) for name, each in values.items()}
        return Judgement(per_unit, self.unit, seconds=seconds, about=about, questions=questions, answers=made)


tasks.register("generate")(GenerateTask())
