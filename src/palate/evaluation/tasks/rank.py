"""Ranking: for each labelled event, how likely is the label? Judged within impressions and over all events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from palate.contracts import Judgement, Ranker, Task, tasks
from palate.contracts.task import Part
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.data.dataset import Dataset
from palate.data.views import RankingQueries, TrainView
from palate.metrics.impressions import grouped_metrics, placement_values

Scores = NDArray[np.float64]


class RankTask(Task[Ranker]):
    """Click-through prediction and ranking of impressions.

    ``auc`` is over all events, as the mean over positives of the share of negatives that score lower (a tie counts one
    half), so that its units are positives. The other metrics have a value for each group: an impression, or a user
    where no impression is known.
    """

    name: ClassVar[str] = "rank"
    unit: ClassVar[str] = "impression"
    lower_is_better: ClassVar[frozenset[str]] = frozenset({"log_loss"})

    def headline(self, data: Dataset) -> str:
        """AUC within impressions where they are known, else over all events."""
        return "group_auc" if data.interactions.has("impression") else "auc"

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """AUC, AUC within groups, MRR, NDCG at 5 and 10, log loss."""
        return ("auc", "group_auc", "mrr", "ndcg@5", "ndcg@10", "log_loss")

    def tested(self, data: Dataset) -> tuple[str, ...]:
        """The headline and the log loss."""
        return (self.headline(data), "log_loss")

    def validator(self, model: Ranker, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """Score validation events with the present weights; content of hidden items is known for the time of it."""
        queries = view.ranking_queries
        if queries is None:
            return None
        # weights change from one call to the next, but not what is known
        counters = model.counters_of_questions(queries)
        hidden = bool(view.all_features) and not view.visible_items.all() and model.deployment is None

        def judge() -> float:
            if hidden:
                model.update_items(ItemFeatures.of(view.all_features, view.n_items))
            values = _per_unit(queries, predict(model, queries, counters))[run.metric]
            if hidden:
                model.update_items(ItemFeatures.of(view.visible, view.n_items))
            return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

        return judge

    def questions(self, data: Dataset, part: Part) -> RankingQueries:
        """Labelled events with the user's history at that moment."""
        return data.test_events() if part == "test" else data.validation_events()

    def judge(self, model: Ranker, data: Dataset, questions: RankingQueries) -> Judgement:
        """Score all events; memory O(events)."""
        started = time.perf_counter()
        scores = predict(model, questions)
        about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "positive": str(data.positive)}
        return Judgement(
            _per_unit(questions, scores),
            self.unit,
            seconds=time.perf_counter() - started,
            about=about | {"events": len(questions), "model": model.name},
            questions=questions,
            answers=scores,
        )


tasks.register("rank")(RankTask())


def predict(model: Ranker, queries: RankingQueries, counters: NDArray[np.float32] | None = None) -> Scores:
    """Logits float64 [n] of labelled events, a chunk at a time.

    Args:
        model: trained.
        queries: n events.
        counters: of these events, where they were computed before.
    """
    device = model.device
    # tables that are made in inference mode could not be restored over later
    model.meet_tables(queries.users_table, queries.items_table)
    with torch.inference_mode():
        batches = model.question_batches(queries, counters)
        out = [model.logits(batch.to(device))["label"].double().cpu().numpy() for batch in batches]
    return np.concatenate(out) if out else np.zeros(0)


def _per_unit(queries: RankingQueries, scores: Scores) -> dict[str, Scores]:
    labels = queries.events.label > 0
    return {"auc": placement_values(labels, scores), **grouped_metrics(labels, scores, queries.groups)}
