"""Retrieval: for each user, rank all items; judged by what the user took later."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from palate.contracts import Judgement, Matcher, Task, tasks
from palate.contracts.task import Part
from palate.core.batch import IntArray
from palate.core.context import RunContext
from palate.core.errors import DataError, EmptyPartError
from palate.core.item_features import ItemFeatures
from palate.data.dataset import Dataset
from palate.data.views import EvaluationQueries, TrainView
from palate.evaluation.known import KNOWN
from palate.evaluation.slices import item_slices, sliced_recall, user_slices
from palate.metrics import beyond
from palate.metrics.diversity import intra_list_distance
from palate.metrics.held_out import evaluate_held_out, rank_held_out, validate
from palate.metrics.lists import evaluate_lists
from palate.ranking.scorer import Scorer

KS = (5, 10, 20, 50)
METRICS = ("recall", "capped_recall", "ndcg", "hit_rate", "mrr", "map", "precision")


class MatchTask(Task[Matcher]):
    """Top-k recommendation out of the whole catalogue."""

    name: ClassVar[str] = "match"

    def headline(self, data: Dataset) -> str:
        """The protocol's own metric, see :attr:`palate.data.splits.SplitSpec.headline`."""
        return data.spec.headline

    def shown(self, data: Dataset) -> tuple[str, ...]:
        """Recall and NDCG at 10 and 20, the headline first where it is another."""
        usual = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
        return usual if self.headline(data) == "recall@20" else ("capped_recall@20", "ndcg@20", "recall@20")

    def tested(self, data: Dataset) -> tuple[str, ...]:
        """The headline and NDCG@20."""
        return (self.headline(data), "ndcg@20")

    def validator(self, model: Matcher, view: TrainView, run: RunContext) -> Callable[[], float] | None:
        """Recommend to validation users; hidden items arrive for the time of it."""
        queries = view.valid
        if queries is None:
            return None
        hidden = not view.visible_items.all() and model.input_spec is not None and model.deployment is None

        def judge() -> float:
            # tensors made in inference mode could not be trained on again, so content changes hands outside it
            if hidden:
                model.update_items(ItemFeatures.of(view.all_features, view.n_items))
            with torch.inference_mode():
                score = validate(model.scorer(), queries, run.metric)
            if hidden:
                model.update_items(ItemFeatures.of(view.visible, view.n_items))
            return score

        return judge

    def validate(self, model: Matcher, view: TrainView, metric: str) -> float | None:
        """The validation metric of a trained model that has met all items."""
        units = self.validation_units(model, view, metric)
        return None if units is None else float(units.mean())

    def validation_units(self, model: Matcher, view: TrainView, metric: str) -> NDArray[np.float64] | None:
        """The validation metric of each user."""
        if view.valid is None:
            return None
        name, _, k = metric.partition("@")
        with torch.inference_mode():
            return evaluate_held_out(model.scorer(), view.valid, (int(k),), (name,))[metric]

    def questions(self, data: Dataset, part: Part) -> EvaluationQueries:
        """Users with what they took later.

        Raises:
            DataError: when the split has no such part.
            EmptyPartError: when nobody is asked about in it.
        """
        if part == "test":
            queries = data.test_queries()
            if not len(queries):
                raise EmptyPartError(
                    "the test part asks about nobody: too few interactions for this split",
                    key=str(data.spec),
                    hint="choose another split, or gather more behaviour",
                )
            return queries
        valid = data.select_view().valid
        if valid is None:
            raise DataError("the split has no validation part", key=str(data.spec), hint="choose a split with one")
        return valid

    def judge(self, model: Matcher, data: Dataset, questions: EvaluationQueries, ks: Sequence[int] = KS) -> Judgement:
        """Rank all candidates for every user.

        Memory O(users * max(ks)); never a whole score matrix.

        Args:
            model: fitted on ``data``.
            data: the dataset.
            questions: users with what they took later.
            ks: list lengths.
        """
        started = time.perf_counter()
        with torch.inference_mode():
            scorer = model.scorer()
            lists = rank_held_out(scorer, _without_additions(questions, data.n_items, scorer.n_items), max(ks))
        seconds = time.perf_counter() - started
        metrics = evaluate_lists(lists, questions.relevant, ks, METRICS)
        counts = _train_counts(data)
        about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "positive": str(data.positive)}
        return Judgement(
            dict(metrics.per_user),
            self.unit,
            _beyond(lists, questions, counts, data),
            _slices(lists, questions, counts, data),
            seconds,
            about | {"mask": data.spec.mask, "model": model.name, KNOWN: _known(scorer, questions)},
            questions,
            lists,
        )


tasks.register("match")(MatchTask())


def _without_additions(queries: EvaluationQueries, n_items: int, scored: int) -> EvaluationQueries:
    """Items added after the fit are no candidates: the question stays the one that was asked."""
    if scored == n_items:
        return queries
    candidates = np.ones(n_items, bool) if queries.candidates is None else queries.candidates
    return replace(queries, candidates=np.concatenate([candidates, np.zeros(scored - n_items, bool)]))


def _known(scorer: Scorer, queries: EvaluationQueries) -> float:
    """Share of the candidates that the scorer has scores for."""
    able = scorer.scorable()
    return float((able if queries.candidates is None else able[: len(queries.candidates)][queries.candidates]).mean())


def _train_counts(data: Dataset) -> IntArray:
    p = data.positives
    known = (0, 1) if data.split.refit else (0,)
    return np.bincount(p.items[np.isin(data.split.part, known)], minlength=data.n_items)


def _beyond(
    lists: IntArray, queries: EvaluationQueries, counts: IntArray, data: Dataset, k: int = 10
) -> dict[str, float]:
    top = lists[:, :k]
    tail = beyond.long_tail(counts)
    values = {
        f"coverage@{k}": beyond.coverage(top, data.n_items),
        f"gini@{k}": beyond.gini(top, data.n_items),
        f"novelty@{k}": float(np.nanmean(beyond.novelty(top, counts, data.n_users))),
        f"popularity@{k}": float(np.nanmean(beyond.average_popularity(top, counts))),
        f"long_tail_share@{k}": float(np.nanmean(beyond.aplt(top, tail))),
        f"serendipity@{k}": float(np.nanmean(beyond.serendipity(top, queries.relevant, counts))),
    }
    dense = next((f for f in data.items.given.values() if f.kind == "pooled"), None)
    if dense is not None:
        ild = intra_list_distance(top, np.asarray(dense.values, np.float32), present=dense.present)
        values[f"ild@{k}"] = float(np.nanmean(ild)) if np.isfinite(ild).any() else float("nan")
    return values


def _slices(
    lists: IntArray, queries: EvaluationQueries, counts: IntArray, data: Dataset, k: int = 20
) -> dict[str, dict[str, float]]:
    present = {name: data.items.present(name) for name in data.items.modalities}
    slices = {}
    for name, members in item_slices(counts, present).items():
        recall, users = sliced_recall(lists[:, :k], queries.relevant, members)
        if users:
            slices[name] = {f"recall@{k}": recall, "users": float(users), "items": float(members.sum())}
    whole = evaluate_lists(lists, queries.relevant, (k,), ("recall",))[f"recall@{k}"]
    for name, rows in user_slices(queries).items():
        if rows.any():
            slices[name] = {f"recall@{k}": float(whole[rows].mean()), "users": float(rows.sum())}
    return slices
