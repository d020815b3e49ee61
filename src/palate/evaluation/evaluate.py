"""Open the test part and count it: the model's task asks and judges."""

from __future__ import annotations

from palate.contracts import Judgement, Model
from palate.data.dataset import Dataset
from palate.evaluation.openings import open_test


def evaluate(model: Model, data: Dataset) -> Judgement:
    """Judge a fitted model on the test part of ``data``; counted, see :mod:`palate.evaluation.openings`.

    Args:
        model: fitted on ``data``.
        data: the dataset.

    Returns:
        Metrics by unit (user, impression ...), slices and what the task measures beside them; ``openings_of_test`` in
        ``about`` counts all openings of this test part on this machine.
    """
    task = model.task
    openings = open_test(data)
    judgement = task.judge(model, data, task.questions(data, "test"))
    judgement.about |= {"task": task.name, "headline": task.headline(data), "shown": list(task.shown(data))}
    judgement.about["openings_of_test"] = openings
    return judgement
