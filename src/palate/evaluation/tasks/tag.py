"""Tagging: labels of items that fitting did not see, from their content."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.contracts import Judgement, Tagger, Task, tasks
from palate.contracts.task import Part
from palate.core.batch import IntArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError, DataError
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.schema import SEPARATORS
from palate.data.views import TrainView
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
    """Multi-label classification of items, judged item by item."""

    name: ClassVar[str] = "tag"
    unit: ClassVar[str] = "item"

    def headline(self, data: Dataset) -> str:
        """Average precision of an item's labels."""
        return "average_precision"

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """Average precision, F1 at probability 1/2, whether the first label is right."""
        return ("average_precision", "f1", "hit_rate@1")

    def validator(self, model: Tagger, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """Labels of items that the view hides, where it hides any."""
        tables, queries = view.tables, view.valid
        if queries is None or queries.candidates is None or tables is None or tables.build_queried_items is None:
            return None
        rows, items = np.flatnonzero(queries.candidates), tables.build_queried_items()

        def judge() -> float:
            content = {name: features.take(rows) for name, features in view.all_features.items()}
            values = _per_item(model.tag(content), label_matrix(items, model, rows))[run.metric]
            return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

        return judge

    def questions(self, data: Dataset, part: Part) -> TagQueries:
        """Items that are new in the part.

        Raises:
            DataError: for a split that hides no items.
        """
        split = data.split
        candidates = split.test_candidates if part == "test" else split.valid_candidates
        if candidates is None:
            raise DataError("the split hides no items to ask about", key=str(data.spec), hint="split: item_cold")
        return TagQueries(np.flatnonzero(candidates), data.items)

    def judge(self, model: Tagger, data: Dataset, questions: TagQueries) -> Judgement:
        """Tag all items that are asked about."""
        started = time.perf_counter()
        vectors = deployment_of(model).features
        probabilities = model.tag({name: features.take(questions.rows) for name, features in vectors.items()})
        seconds = time.perf_counter() - started
        truth = label_matrix(questions.items, model, questions.rows)
        about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "model": model.name}
        return Judgement(
            _per_item(probabilities, truth), self.unit, seconds=seconds, about=about, questions=questions,
            answers=probabilities,
        )  # fmt: skip


tasks.register("tag")(TagTask())


def label_matrix(items: Catalog, model: Tagger, rows: IntArray) -> NDArray[np.bool_]:
    """Which labels the catalogue gives to items: bool [n, labels].

    Args:
        items: the catalogue.
        model: names column and labels.
        rows: int64 [n].

    Raises:
        ConfigError: when the catalogue lacks the column.
    """
    if model.column not in items.frame.columns:
        raise ConfigError("the items have no such column", key=model.column, hint=", ".join(items.frame.columns))
    values = items.frame[model.column].gather(rows).cast(pl.String)
    place = {label: at for at, label in enumerate(model.labels())}
    split = values.str.replace_all(SEPARATORS, "\0").str.split("\0").to_list()
    out = np.zeros((len(rows), len(place)), bool)
    pairs = [(at, place[v.strip()]) for at, own in enumerate(split) for v in own or () if v.strip() in place]
    if pairs:
        out[tuple(np.array(pairs).T)] = True
    return out


def _per_item(probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    some = truth.any(1)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    hits = np.take_along_axis(truth, order, 1)
    rank = np.arange(1, truth.shape[1] + 1)
    total = np.where(some, truth.sum(1), np.nan)
    chosen = probabilities >= 0.5
    return {
        "average_precision": (np.cumsum(hits, 1) / rank * hits).sum(1) / total,
        "f1": np.where(some, 2 * (chosen & truth).sum(1) / np.maximum(chosen.sum(1) + truth.sum(1), 1), np.nan),
        "hit_rate@1": np.where(some, hits[:, 0], np.nan).astype(np.float64),
    }
