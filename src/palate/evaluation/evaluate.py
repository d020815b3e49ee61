"""Open the test part and count it: the model's task asks and judges."""

from __future__ import annotations

from palate.contracts import Judgement, Model
from palate.core.boundary import public
from palate.data.dataset import Dataset
from palate.evaluation.openings import open_test
from palate.evaluation.own_metrics import Metrics, add_metrics
from palate.training.deployment import deployment_of


@public
def evaluate(model: Model, data: Dataset, metrics: Metrics = ()) -> Judgement:
    """Judge a fitted model on the test part of ``data``; counted, see :mod:`palate.evaluation.openings`.

    Args:
        model: fitted on ``data``.
        data: the dataset.
        metrics: further metrics of lists: names such as ``ndcg@7``, or functions of your own, see
            :mod:`palate.evaluation.own_metrics`; a mapping gives functions their names.

    Returns:
        ``metrics`` (means), ``per_unit`` (values of each user, impression ...), ``slices``, and what the task measures
        beside them; ``openings_of_test`` in ``about`` counts all openings of this test part on this machine.

    Raises:
        NotFittedError: for a model that is not fitted.
        EmptyPartError: where the test part asks about nobody.
        DataError: for a split without a test part, or a metric that does not give one number a user.
        ConfigError: for an unknown metric.
        UnsupportedError: for ``metrics`` of a task that does not rank lists.
    """
    deployment_of(model)
    task = model.task
    questions = task.questions(data, "test")
    openings = open_test(data)
    judgement = task.judge(model, data, questions)
    add_metrics(judgement, metrics, task.name)
    judgement.about |= {"task": task.name, "headline": task.headline(data), "shown": list(task.shown(data))}
    judgement.about["openings_of_test"] = openings
    return judgement
