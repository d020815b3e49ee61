"""Open the test part once: accuracy by user, slices, and what lies beyond accuracy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.model import Matcher
from palate.data.dataset import Dataset
from palate.data.views import EvaluationQueries
from palate.metrics import beyond
from palate.metrics.diversity import intra_list_distance
from palate.metrics.held_out import rank_held_out
from palate.metrics.lists import evaluate_lists

from .slices import item_slices, sliced_recall, user_slices

KS = (5, 10, 20, 50)
METRICS = ("recall", "capped_recall", "ndcg", "hit_rate", "mrr", "map", "precision")


@dataclass
class Result:
    """What one opening of the test part says.

    Attributes:
        metrics: means over users. per_user: float64 [users] by metric, for paired tests. beyond: list-level measures.
        slices: slice -> metric -> value. lists: int64 [users, k], the ranked items. seconds: of the evaluation.
    """

    metrics: dict[str, float]
    per_user: dict[str, NDArray[np.float64]]
    beyond: dict[str, float]
    slices: dict[str, dict[str, float]]
    lists: IntArray
    held: EvaluationQueries
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays."""
        return {
            "metrics": self.metrics,
            "beyond": self.beyond,
            "slices": self.slices,
            "users": len(self.held),
            "seconds": self.seconds,
            **self.about,
        }


def evaluate(model: Matcher, data: Dataset, ks: Sequence[int] = KS) -> Result:
    """Evaluate a fitted model on the test part of ``data``.

    Memory O(users * max(ks)); never a whole score matrix. Callers count this as an opening of test.
    """
    held = data.test_held()
    started = time.perf_counter()
    with torch.inference_mode():
        scorer = model.scorer()
        lists = rank_held_out(scorer, _without_additions(held, data.n_items, scorer.n_items), max(ks))
    seconds = time.perf_counter() - started
    names = [name for name in METRICS if name in _known()]
    found = evaluate_lists(lists, held.relevant, ks, names)
    counts = _train_counts(data)
    about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "positive": str(data.positive)}
    return Result(
        {name: float(value.mean()) for name, value in found.items()},
        dict(found.per_user),
        _beyond(lists, held, counts, data),
        _slices(lists, held, counts, data),
        lists,
        held,
        seconds,
        about | {"mask": data.spec.mask, "model": model.name},
    )


def _without_additions(held: EvaluationQueries, n_items: int, scored: int) -> EvaluationQueries:
    """Items added after the fit are no candidates: the question stays the one that was asked."""
    if scored == n_items:
        return held
    asked = np.ones(n_items, bool) if held.candidates is None else held.candidates
    return replace(held, candidates=np.concatenate([asked, np.zeros(scored - n_items, bool)]))


def _known() -> set[str]:
    from palate.metrics.ranking import METRICS as known

    return set(known)


def _train_counts(data: Dataset) -> IntArray:
    p = data.positives
    known = (0, 1) if data.split.refit else (0,)
    return np.bincount(p.items[np.isin(data.split.part, known)], minlength=data.n_items)


def _beyond(lists: IntArray, held: EvaluationQueries, counts: IntArray, data: Dataset, k: int = 10) -> dict[str, float]:
    top = lists[:, :k]
    tail = beyond.long_tail(counts)
    found = {
        f"coverage@{k}": beyond.coverage(top, data.n_items),
        f"gini@{k}": beyond.gini(top, data.n_items),
        f"novelty@{k}": float(np.nanmean(beyond.novelty(top, counts, data.n_users))),
        f"popularity@{k}": float(np.nanmean(beyond.average_popularity(top, counts))),
        f"long_tail_share@{k}": float(np.nanmean(beyond.aplt(top, tail))),
        f"serendipity@{k}": float(np.nanmean(beyond.serendipity(top, held.relevant, counts))),
    }
    dense = next((f for f in data.items.given.values() if f.kind == "pooled"), None)
    if dense is not None:
        ild = intra_list_distance(top, np.asarray(dense.values, np.float32), present=dense.present)
        found[f"ild@{k}"] = float(np.nanmean(ild)) if np.isfinite(ild).any() else float("nan")
    return found


def _slices(
    lists: IntArray, held: EvaluationQueries, counts: IntArray, data: Dataset, k: int = 20
) -> dict[str, dict[str, float]]:
    present = {name: data.items.present(name) for name in data.items.modalities}
    found = {}
    for name, members in item_slices(counts, present).items():
        recall, users = sliced_recall(lists[:, :k], held.relevant, members)
        if users:
            found[name] = {f"recall@{k}": recall, "users": float(users), "items": float(members.sum())}
    whole = evaluate_lists(lists, held.relevant, (k,), ("recall",))[f"recall@{k}"]
    for name, rows in user_slices(held).items():
        if rows.any():
            found[name] = {f"recall@{k}": float(whole[rows].mean()), "users": float(rows.sum())}
    return found
