"""Similarity of every item to one item, by behaviour and by content, with popularity divided out.

By behaviour an item j is close to i as far as its score for a user who took only i exceeds what it scores for users
who took only another item: z_ij = (s_ij - mean_h s_hj) / std_h s_hj over a sample of items h. An item that everybody
takes has a high mean and gains nothing by it. By content see :mod:`palate.serving.item_aspects`. The two are added,
each standardised, content with twice the weight. Of items that were added since the run was made, which nobody had a
chance to take, behaviour is what their content leads to expect: its regression on content over the other items;
likewise of items without content. Our own recipe.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.errors import FeatureError
from palate.serving.item_aspects import aspects_of
from palate.serving.snapshot import Lineage, ResolvedModel, ServedModel

SAMPLE, BLOCK_SCORES = 128, 1 << 23
"""Items whose scores are the baseline; scores in memory at once."""
CONTENT_WEIGHT = 2.0
"""Weight of content next to behaviour."""
MIN_SPREAD = 0.1
"""Spread of an item's scores, as a share of the median spread, below which its scores say little."""


class Baseline(NamedTuple):
    """Scores of items for users who took a single item.

    Attributes:
        mean: float32 [items of the run], over a sample of such users.
        spread: float32 [items of the run], standard deviation over them.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]


_BASELINES: WeakKeyDictionary[Lineage, dict[str, Baseline]] = WeakKeyDictionary()


def item_similarity(resolved: ResolvedModel, row: int) -> NDArray[np.float32]:
    """Similarity of all items to an item; O(catalogue), and O(sample x catalogue) the first time.

    Args:
        resolved: model that scores, and its snapshot.
        row: row of the item.

    Returns:
        float32 [items], the higher the more alike; -inf for items of which nothing is known.

    Raises:
        FeatureError: if nothing is known of the item, neither by behaviour nor by content.
    """
    snapshot, model = resolved
    behaviour: NDArray[np.float32] | None = None
    content: NDArray[np.float32] | None = None
    if model.new_users and model.can_score and model.scorer.scorable()[row]:
        behaviour = _by_behaviour(resolved, row)
    try:
        content = _standardised(aspects_of(snapshot).similarity(row))
    except FeatureError:
        if behaviour is None:
            raise
    if behaviour is not None and content is not None:
        total = _combined(behaviour, content)
    else:
        total = next(part for part in (behaviour, content) if part is not None)
    return np.where(np.isnan(total), -np.inf, total).astype(np.float32)


def _combined(behaviour: NDArray[np.float32], content: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of both parts; what is unknown of one is what the other leads to expect."""
    both = ~np.isnan(behaviour) & ~np.isnan(content)
    # the slope of either on the other, since both are standardised
    slope = max(float((behaviour[both] * content[both]).mean()), 0.0) if both.any() else 0.0
    total = np.where(np.isnan(behaviour), slope * content, behaviour)
    total += CONTENT_WEIGHT * np.where(np.isnan(content), slope * behaviour, content)
    return total.astype(np.float32)


def _by_behaviour(resolved: ResolvedModel, row: int) -> NDArray[np.float32]:
    """Standardised scores for a user who took one item, without what others who took one item get too; NaN: unknown."""
    snapshot, model = resolved
    baselines, size = _BASELINES.setdefault(snapshot.lineage, {}), len(snapshot.deployment.items)
    if model.name not in baselines:
        baselines[model.name] = _baseline(model, size)
    baseline, scorable = baselines[model.name], model.scorer.scorable()
    floor = MIN_SPREAD * float(np.median(baseline.spread[scorable[:size]]))
    lift = np.full(len(scorable), np.nan, np.float32)
    scores = _scores(model, np.array([row]))[0, :size]
    lift[:size] = (scores - baseline.mean) / np.maximum(baseline.spread, max(floor, 1e-9))
    return _standardised(np.where(scorable, lift, np.nan).astype(np.float32))


def _baseline(model: ServedModel, n_items: int) -> Baseline:
    """The baseline of the first ``n_items`` items, those of the run."""
    pool = np.flatnonzero(model.scorer.scorable()[:n_items])
    rows = np.sort(np.random.default_rng(0).choice(pool, min(SAMPLE, len(pool)), replace=False))
    size = max(1, BLOCK_SCORES // model.scorer.n_items)
    total, squares = (np.zeros(n_items, np.float64) for _ in range(2))
    for start in range(0, len(rows), size):
        scores = _scores(model, rows[start : start + size])[:, :n_items].astype(np.float64)
        total += scores.sum(0)
        squares += np.square(scores).sum(0)
    mean = total / len(rows)
    return Baseline(mean.astype(np.float32), np.sqrt(np.maximum(squares / len(rows) - mean**2, 0)).astype(np.float32))


def _scores(model: ServedModel, rows: IntArray) -> NDArray[np.float32]:
    """Scores of all items for users who took one item each, float32 [rows, items]."""
    users = UserBatch(np.full(len(rows), -1), RaggedArray(np.arange(len(rows) + 1), rows.astype(np.int64)))
    with torch.inference_mode():
        scores: NDArray[np.float32] = model.scorer.matcher.score(users).float().numpy()
    return np.where(np.isfinite(scores), scores, 0.0).astype(np.float32)


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(values - mean) / standard deviation over what is not NaN."""
    if np.isnan(values).all():
        return values
    mean, spread = float(np.nanmean(values)), float(np.nanstd(values))
    return ((values - mean) / max(spread, 1e-9)).astype(np.float32)
