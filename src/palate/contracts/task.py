"""The contract of a task: what a model is asked, how the answers are judged, which metric decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from palate.core.context import RunContext
from palate.core.registry import Registry
from palate.data.dataset import Dataset
from palate.data.views import TrainView

M = TypeVar("M", bound=nn.Module)
Part = Literal["valid", "test"]


@dataclass
class Judgement:
    """What one opening of a part says about a model.

    Attributes:
        per_unit: metric -> float64 [units], NaN where a unit cannot be judged by it; what paired tests compare.
        unit: what a unit is: ``user``, ``impression``, ``item`` or ``text``.
        beyond: measures of whole lists, beyond accuracy.
        slices: slice of users or items -> metric -> value.
        seconds: of answering.
        about: data, hash, split and model.
        questions: what was asked, as the task makes it.
        answers: what was answered, such as ranked lists int64 [units, k].
    """

    per_unit: dict[str, NDArray[np.float64]]
    unit: str
    beyond: dict[str, float] = field(default_factory=dict)
    slices: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)
    questions: Any = None
    answers: Any = None

    @property
    def units(self) -> int:
        """Number of units."""
        return len(next(iter(self.per_unit.values()), ()))

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the units that a metric can judge."""
        return {name: _mean(values) for name, values in self.per_unit.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays."""
        return {
            "metrics": self.metrics,
            "beyond": self.beyond,
            "slices": self.slices,
            f"{self.unit}s": self.units,
            "seconds": self.seconds,
            **self.about,
        }


class Task(ABC, Generic[M]):
    """Questions and judging of one kind of model. Fitting, tuning, comparing and reporting speak to it alone.

    Attributes:
        name: as registered.
        unit: what is judged one by one and resampled in paired tests.
        lower_is_better: metrics of which less is better, without ``@k``.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = "user"
    lower_is_better: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def headline(self, data: Dataset) -> str:
        """The metric that selects, heads reports and is tested.

        Args:
            data: whose split may decide.
        """

    @abstractmethod
    def shown(self, data: Dataset) -> tuple[str, ...]:
        """Metrics that tables show, the headline among them.

        Args:
            data: whose split may decide.
        """

    def tested(self, data: Dataset) -> tuple[str, ...]:
        """Metrics whose differences between models are tested.

        Args:
            data: whose split may decide.
        """
        return (self.headline(data),)

    def higher_is_better(self, metric: str) -> bool:
        """Whether more of ``metric`` is better.

        Args:
            metric: with or without ``@k``.
        """
        return metric.partition("@")[0] not in self.lower_is_better

    def rank_key(self, metric: str, value: float) -> float:
        """``value`` turned so that more is better.

        Args:
            metric: name of the metric.
            value: its value.
        """
        return value if self.higher_is_better(metric) else -value

    @abstractmethod
    def validator(self, model: M, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """A function that judges the model's present weights on validation.

        Args:
            model: in training.
            view: holds the validation questions.
            run: names the metric.

        Returns:
            None where there is nothing to validate on; the function may return NaN for the same reason.
        """

    def validate(self, model: M, view: TrainView, metric: str) -> float | None:
        """The validation metric of a trained model that has met all content; None without validation questions.

        Args:
            model: trained.
            view: holds the validation questions.
            metric: which one.
        """
        judge = self.validator(model, view, RunContext(metric=metric))
        return None if judge is None else judge()

    def validation_units(self, model: M, view: TrainView, metric: str) -> NDArray[np.float64] | None:
        """What :meth:`validate` is the mean of, so that two models can be compared on validation; None if of nothing.

        Args:
            model: as for :meth:`validate`.
            view: as for :meth:`validate`.
            metric: as for :meth:`validate`.
        """
        return None

    @abstractmethod
    def questions(self, data: Dataset, part: Part) -> Any:
        """Questions with known answers. Callers count the opening of ``test``.

        Args:
            data: the dataset.
            part: which part of its split.
        """

    @abstractmethod
    def judge(self, model: M, data: Dataset, questions: Any) -> Judgement:
        """Ask and judge a fitted model.

        Args:
            model: fitted on ``data``.
            data: the dataset.
            questions: of :meth:`questions`.
        """


tasks: Registry[Task[Any]] = Registry("task", ("palate.evaluation.tasks",), "palate.tasks")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)] if len(values) else values
    return (
        float(values.mean())
        if len(known) == len(values) and len(values)
        else float(known.mean() if len(known) else np.nan)
    )
