"""LaMP's metrics: accuracy and macro F1 of choices, MAE and RMSE of scores, ROUGE-1 and ROUGE-L of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palate.core.errors import DataError
from palate.generation.prompting.answers import first_line, parse_choice, parse_number
from palate.generation.scoring.overlap import rouge
from palate.models.generate.shared.lamp_data import LampTask

LOWEST, HIGHEST = 1.0, 5.0
"""Scores of LaMP_3."""


def lamp_metrics(answers: Sequence[str], golds: Sequence[str], task: LampTask) -> dict[str, float]:
    """The metrics of a task.

    Args:
        answers: what the model said, one a question.
        golds: the gold outputs.
        task: the task.

    Returns:
        ``accuracy`` and ``f1`` of choices, ``mae`` and ``rmse`` of scores (lower is better), ``rouge1`` and ``rougeL``
        of texts.

    Raises:
        DataError: if the numbers differ, or a gold output is not one of the task's.
        MissingDependencyError: without rouge-score, for texts.
    """
    if len(answers) != len(golds) or not golds:
        raise DataError(f"{len(answers)} answers for {len(golds)} gold outputs")
    if task.answer == "choice":
        return _choices(answers, golds, task)
    if task.answer == "number":
        return _numbers(answers, golds)
    scores = rouge([first_line(answer) or "" for answer in answers], list(golds), stem=True)
    return {name: float(scores[name].mean()) for name in ("rouge1", "rougeL")}


def _choices(answers: Sequence[str], golds: Sequence[str], task: LampTask) -> dict[str, float]:
    """An answer that names no choice is wrong; F1 is the mean over the choices that occur in either."""
    true = [parse_choice(gold, task.choices) for gold in golds]
    for gold, place in zip(golds, true):
        if place is None:
            raise DataError(f"{gold!r} is no output of {task.name}", hint=f"one of {', '.join(task.choices)}")
    said = [parse_choice(answer, task.choices) for answer in answers]
    accuracy = float(np.mean([a == b for a, b in zip(said, true)]))
    f1 = []
    for choice in sorted({place for place in (*true, *said) if place is not None}):
        hits = sum(a == b == choice for a, b in zip(said, true))
        total = sum(a == choice for a in said) + sum(b == choice for b in true)
        f1.append(2 * hits / total)
    return {"accuracy": accuracy, "f1": float(np.mean(f1))}


def _numbers(answers: Sequence[str], golds: Sequence[str]) -> dict[str, float]:
    """An answer without a score counts as the score farthest from the gold one."""
    errors = []
    for answer, gold in zip(answers, golds):
        true = parse_number(gold, LOWEST, HIGHEST)
        if true is None:
            raise DataError(f"{gold!r} is no score from 1 to 5")
        said = parse_number(answer, LOWEST, HIGHEST)
        errors.append(max(true - LOWEST, HIGHEST - true) if said is None else abs(said - true))
    values = np.array(errors)
    return {"mae": float(values.mean()), "rmse": float(np.sqrt((values**2).mean()))}
