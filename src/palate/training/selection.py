"""Choose settings of closed forms on validation: score each candidate, keep the best, say what was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from contextlib import nullcontext
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.errors import ConfigError
from palate.core.progress import progress
from palate.data.views import EvaluationQueries, TrainView
from palate.metrics.held_out import validate
from palate.ranking.scorer import Scorer

T = TypeVar("T")


def _nothing(steps: int = 1, note: str = "") -> None:
    """Progress of one step is not shown."""


def choose(view: TrainView, candidates: Iterable[T], scorer: Callable[[T], Scorer], metric: str) -> tuple[T, float]:
    """The candidate with the best validation score (the first of equals), and that score.

    Without validation questions (a refit) the first candidate is taken: a refit must name its settings.

    Raises:
        ConfigError: without candidates.
    """
    best: tuple[T, float] | None = None
    size = len(candidates) if isinstance(candidates, Sized) else None
    with progress("choosing settings", size) if size != 1 else nullcontext(_nothing) as advance:
        for candidate in candidates:
            if view.valid is None:
                return candidate, float("nan")
            score = validate(scorer(candidate), view.valid, metric)
            if best is None or score > best[1]:
                best = (candidate, score)
            advance(1)
    if best is None:
        raise ConfigError("nothing to choose from")
    return best


def pseudo_cold(
    view: TrainView, max_users: int, seed: int, share: float = 0.2
) -> tuple[TrainView, EvaluationQueries] | None:
    """A view and questions about items that its fit does not see.

    In item-cold protocols these are the validation questions themselves; elsewhere a ``share`` of the training items is
    held out with all its behaviour.

    Args:
        view: the training view.
        max_users: users that are asked about at most.
        seed: draws items and users.
        share: share of the training items that is held out.

    Returns:
        None where too few interactions are left to ask about.
    """
    if view.valid is not None and view.valid.candidates is not None and not view.visible_items.all():
        return view, view.sampled(max_users, seed).valid or view.valid
    rng = np.random.default_rng([seed, 1])
    warm = np.flatnonzero(view.warm_items & view.visible_items)
    if not len(warm):
        return None
    cold = np.zeros(view.n_items, bool)
    cold[rng.choice(warm, max(1, int(share * len(warm))), replace=False)] = True
    keep = ~cold[view.items]
    kept = replace(
        view,
        users=view.users[keep],
        items=view.items[keep],
        times=None if view.times is None else view.times[keep],
        visible_items=view.visible_items & ~cold,
        valid=None,
    )
    relevant = RaggedArray.build(view.users[~keep], view.items[~keep], view.n_users)
    asked = np.flatnonzero((relevant.lengths > 0) & (kept.history.lengths > 0))
    if not len(asked):
        return None
    if len(asked) > max_users:
        asked = np.sort(rng.choice(asked, max_users, replace=False))
    history = kept.history.take(asked)
    return kept, EvaluationQueries(UserBatch(asked, history), relevant.take(asked), history, cold)


def dense_metric(held: EvaluationQueries, items: IntArray, metric: str) -> Callable[[Tensor], float]:
    """A function from scores [users, len(items)] of all candidates to the mean of recall or capped recall.

    Scores of excluded items are overwritten with -inf.
    """
    kind, _, cut = metric.partition("@")
    place = np.full(int(max(items.max(initial=0), held.relevant.items.max(initial=0))) + 1, -1)
    place[items] = np.arange(len(items))
    at = place[held.relevant.items]
    truth = torch.zeros(len(held), len(items), dtype=torch.bool)
    truth[torch.from_numpy(held.relevant.owners()[at >= 0]), torch.from_numpy(at[at >= 0])] = True
    taken = held.exclude.items < len(place)
    at = place[held.exclude.items[taken]]
    owner = held.exclude.owners()[taken]
    blocked = (torch.from_numpy(owner[at >= 0]), torch.from_numpy(at[at >= 0]))
    k = min(int(cut), len(items))
    counts = torch.from_numpy(held.relevant.lengths)
    below = (counts.clamp(max=int(cut)) if kind == "capped_recall" else counts).double()

    def value(scores: Tensor) -> float:
        scores[blocked] = -torch.inf
        return float((truth.gather(1, scores.topk(k, dim=1).indices).sum(1) / below).mean())

    return value
