"""Pretraining: held-out examples of the catalogue, judged by the model's own retrieval score."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch

from palate.contracts import Judgement, Pretrainer, Task, tasks
from palate.contracts.task import Part
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.data.dataset import Dataset
from palate.data.views import TrainView


class PretrainTask(Task[Pretrainer]):
    """Learning encoders; how good they are for recommendation is a question to a recommender that reads them."""

    name: ClassVar[str] = "pretrain"
    unit: ClassVar[str] = "catalogue"

    def headline(self, data: Dataset) -> str:
        """Retrieval of held-out examples."""
        return "retrieval"

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """The headline alone."""
        return ("retrieval",)

    def validator(self, model: Pretrainer, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """The model's own score on examples that it holds out; NaN where it holds none out."""
        return model.validation_score

    def questions(self, data: Dataset, part: Part) -> None:
        """Held-out examples are part of the model; there is no test part.

        Raises:
            UnsupportedError: for ``test``.
        """
        if part == "test":
            raise UnsupportedError(
                "pretraining has no test part", hint="compare recommenders that read the encoders it leaves"
            )

    def judge(self, model: Pretrainer, data: Dataset, questions: None) -> Judgement:
        """The present score on held-out examples, as one unit."""
        with torch.inference_mode():
            score = model.validation_score()
        return Judgement({"retrieval": np.array([score])}, self.unit, about={"data": data.name, "model": model.name})


tasks.register("pretrain")(PretrainTask())
