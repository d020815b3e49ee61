"""Tagging: labels of items that fitting did not see, from their content."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Judgement, Tagger, Task, tasks
from palate.contracts.task import Part
from palate.core.batch import IntArray
from palate.core.context import RunContext
from palate.core.errors import EmptyPartError
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.labels import item_labels
from palate.metrics.labels import item_average_precision, item_f1, macro_average_precision, macro_f1, micro_f1
from palate.training.deployment import deployment_of


@dataclass(frozen=True)
class TagQueries:
    """Items whose labels are asked.

    Attributes:
        rows: int64 [n], rows of the catalogue.
        items: the catalogue, which knows the labels.
    """

    rows: IntArray
    items: Catalog

    def __len__(self) -> int:
        return len(self.rows)


class TagTask(Task[Tagger]):
    """Classification of items into one or several labels.

    ``micro_f1``, ``macro_f1`` and ``macro_average_precision`` (mAP) are over all items; their values by item have them
    as mean, see :mod:`palate.metrics.labels`. The other metrics are judged item by item. Items without a known label
    are not judged; a label that the model does not know is missed wherever it is true.
    """

    name: ClassVar[str] = "tag"
    unit: ClassVar[str] = "item"

    def headline(self, data: Dataset) -> str:
        """Average precision of an item's labels."""
        return "average_precision"

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """Average precision, F1 of each item and over all, mAP, accuracy, whether the likeliest label is right."""
        return ("average_precision", "f1", "micro_f1", "macro_f1", "macro_average_precision", "accuracy", "hit_rate@1")

    def tested(self, data: Dataset) -> tuple[str, ...]:
        """The headline, and F1 over all items."""
        return (self.headline(data), "micro_f1", "macro_f1")

    def validator(self, model: Tagger, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """Labels of items that fitting did not read, where there are any."""
        tables = view.tables
        rows = model.validation_rows(view) if tables is not None else np.zeros(0, np.int64)
        if tables is None or not len(rows):
            return None
        items = tables.items if tables.build_queried_items is None else tables.build_queried_items()

        content = ItemFeatures.of(view.all_features, view.n_items)

        def judge() -> float:
            values = _per_item(model, model.tag_rows(content, rows), items, rows)[run.metric]
            return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

        return judge

    def questions(self, data: Dataset, part: Part) -> TagQueries:
        """Items that are new in the part.

        Raises:
            EmptyPartError: for a split that hides no items, or shows their columns, and so their labels.
        """
        split = data.split
        candidates = split.test_candidates if part == "test" else split.valid_candidates
        if candidates is None or (candidates & split.visible_items).any() or not candidates.any():
            hint = "--split item_cold, without transductive (split='item_cold')"
            raise EmptyPartError("the split hides no items to ask about", key=str(data.spec), hint=hint)
        return TagQueries(np.flatnonzero(candidates), data.items)

    def judge(self, model: Tagger, data: Dataset, questions: TagQueries) -> Judgement:
        """Tag all items that are asked about."""
        started = time.perf_counter()
        known = deployment_of(model).features if model.item_features is None else model.item_features
        probabilities = model.tag(known.take(questions.rows))
        seconds = time.perf_counter() - started
        about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "model": model.name}
        asked = {"column": model.column, "labels": len(model.labels())}
        values = _per_item(model, probabilities, questions.items, questions.rows)
        return Judgement(
            values, self.unit, seconds=seconds, about=about | asked, questions=questions, answers=probabilities
        )


tasks.register("tag")(TagTask())


def label_matrix(items: Catalog, model: Tagger, rows: IntArray) -> NDArray[np.bool_]:
    """Which labels the catalogue gives to items: bool [n, labels + further ones], the model's own labels first.

    Args:
        items: the catalogue.
        model: names column and labels.
        rows: int64 [n].

    Raises:
        EmptyPartError: when the catalogue lacks the column, so that nothing can be judged.
    """
    if model.column not in items.frame.columns:
        raise EmptyPartError("no item has a label", column=model.column)
    return item_labels(items.frame[model.column].gather(rows), list(model.labels())).matrix(np.arange(len(rows)))


def _per_item(
    model: Tagger, probabilities: NDArray[np.float32], items: Catalog, rows: IntArray
) -> dict[str, NDArray[np.float64]]:
    """All metrics by item, NaN for items without a label."""
    truth = label_matrix(items, model, rows)
    unknown = truth.shape[1] - probabilities.shape[1]
    # what the model cannot give comes last
    scores = np.pad(probabilities, ((0, 0), (0, unknown)), constant_values=-1)
    chosen = np.pad(model.choose(probabilities), ((0, 0), (0, unknown)))
    some: NDArray[np.bool_] = np.asarray(truth.any(1))
    scores, chosen, truth = scores[some], chosen[some], truth[some]
    first = scores.argmax(1) if scores.size else np.zeros(len(scores), np.int64)
    found = {
        "average_precision": item_average_precision(scores, truth),
        "f1": item_f1(chosen, truth),
        "micro_f1": micro_f1(chosen, truth),
        "macro_f1": macro_f1(chosen, truth),
        "macro_average_precision": macro_average_precision(scores, truth),
        "accuracy": (chosen == truth).all(1).astype(np.float64),
        "hit_rate@1": truth[np.arange(len(truth)), first].astype(np.float64),
    }
    return {name: _spread(values, some) for name, values in found.items()}


def _spread(values: NDArray[np.float64], some: NDArray[np.bool_]) -> NDArray[np.float64]:
    out = np.full(len(some), np.nan)
    out[some] = values
    return out
