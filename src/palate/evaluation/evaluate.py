"""Open the test part once: the model's task asks and judges."""

from __future__ import annotations

from palate.contracts import Judgement, Model
from palate.data.dataset import Dataset


def evaluate(model: Model, data: Dataset) -> Judgement:
    """Judge a fitted model on the test part of ``data``. Callers count this as an opening of test.

    Args:
        model: fitted on ``data``.
        data: the dataset.

    Returns:
        Metrics by unit (user, impression ...), slices and what the task measures beside them.
    """
    task = model.task
    judgement = task.judge(model, data, task.questions(data, "test"))
    judgement.about |= {"task": task.name, "headline": task.headline(data), "shown": list(task.shown(data))}
    return judgement
