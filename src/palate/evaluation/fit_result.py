"""One fitted model with its test result and its time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palate.contracts import Judgement, Model
from palate.core.context import Callback
from palate.core.errors import EmptyPartError
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.features.plan import ContentPlan
from palate.training.fit import fit

log = logging.getLogger("palate")


@dataclass
class FitResult:
    """A fitted model.

    Attributes:
        model: fitted.
        judgement: of the test part; None while it is sealed, or where it asks about nobody.
        seconds: of fitting.
    """

    model: Model
    judgement: Judgement | None
    seconds: float


def fit_one(
    model: Model,
    data: Dataset,
    content: ContentPlan,
    seed: int,
    test: bool,
    checkpoint: Path | None = None,
    init_from: str | None = None,
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Fit a model, then open the test part if ``test``.

    Args:
        model: unfitted.
        data: dataset with a split.
        content: encoders and where vectors are kept.
        seed: of everything random.
        test: whether to open the test part.
        checkpoint: folder to resume from.
        init_from: a run whose weights to start from.
        device: as for ``fit``.
        callbacks: as for ``fit``.
    """
    started = time.perf_counter()
    model = fit(
        model,
        data,
        seed=seed,
        content=content,
        checkpoint=checkpoint,
        init_from=init_from,
        device=device,
        callbacks=callbacks,
    )
    seconds = time.perf_counter() - started
    return FitResult(model, _judged(model, data) if test else None, seconds)


def _judged(model: Model, data: Dataset) -> Judgement | None:
    """The judgement of test; a fitted model is not lost because there is nothing to judge it by."""
    try:
        return evaluate(model, data)
    except EmptyPartError as error:
        log.warning("%s is not judged: %s", model.name, error.message)
        return None
