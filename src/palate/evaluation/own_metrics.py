"""Metrics that a caller adds to those of a task.

A metric of your own is a function of the lists and the questions of one evaluation, vectorised over users:

    def first_hit(lists, questions):
        owner = questions.relevant.owners()
        hit = (lists[owner] == questions.relevant.items[:, None])[:, 0]
        return np.bincount(owner, hit, minlength=len(lists))

``lists`` is int64 [users, 50], rows of the catalogue with the best first, -1 where a list ends (``data.items.ids`` maps
rows to ids); ``questions.relevant`` holds what each user took, ``questions.users.history`` what was known. It returns
one number a user, more is better, NaN where it cannot judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Judgement
from palate.core.batch import IntArray
from palate.core.errors import ConfigError, DataError, UnsupportedError
from palate.data.views import EvaluationQueries
from palate.metrics.lists import evaluate_lists

Metric = Callable[[IntArray, EvaluationQueries], NDArray[np.floating]]
"""(lists int64 [users, k], questions) -> float [users]."""

Metrics = Sequence[str | Metric] | Mapping[str, Metric]


def metric_names(metrics: Metrics) -> list[str]:
    """Names of the metrics, in order.

    Args:
        metrics: names, functions, or functions by name.
    """
    return list(_named(metrics))


def add_metrics(judgement: Judgement, metrics: Metrics, task: str) -> None:
    """Compute further metrics of a judgement, in place.

    Args:
        judgement: with the questions and the lists of one evaluation.
        metrics: names, functions, or functions by name.
        task: name of the task, for the error.

    Raises:
        ConfigError: for an unknown metric, or a cut-off beyond the length of the lists.
        DataError: for a function that does not return one number a user.
        UnsupportedError: for a task that does not rank lists.
    """
    if not metrics:
        return
    lists, questions = judgement.answers, judgement.questions
    if not isinstance(questions, EvaluationQueries):
        raise UnsupportedError(f"metrics of lists cannot judge the task {task!r}", key=metric_names(metrics)[0])
    for name, metric in _named(metrics).items():
        if isinstance(metric, str):
            judgement.per_unit[name] = _known(metric, lists, questions)
            continue
        values = np.asarray(metric(lists, questions), np.float64)
        if values.shape != (len(lists),):
            raise DataError(
                f"the metric returned {values.shape}, not one number for each of {len(lists)} users", key=name
            )
        judgement.per_unit[name] = values


def _named(metrics: Metrics) -> dict[str, str | Metric]:
    if isinstance(metrics, Mapping):
        return dict(metrics)
    if isinstance(metrics, str):
        raise ConfigError("give a list of metrics", key=metrics, hint=f'metrics=["{metrics}"]')
    return {one if isinstance(one, str) else getattr(one, "__name__", repr(one)): one for one in metrics}


def _known(metric: str, lists: IntArray, questions: EvaluationQueries) -> NDArray[np.float64]:
    name, _, k = metric.partition("@")
    if not k.isdigit() or not 1 <= int(k) <= lists.shape[1]:
        raise ConfigError(
            "a metric is NAME@K", key=metric, hint=f"K is a whole number up to {lists.shape[1]}, as in ndcg@7"
        )
    values: NDArray[np.float64] = evaluate_lists(lists, questions.relevant, (int(k),), (name,))[metric]
    return values
