"""Choose the settings of a content kernel: group weights, ridge, and the head of the profile."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from palate.core.content import Features
from palate.models.match.content_kernel.aligned import AlignedKernel
from palate.models.match.content_kernel.blocks import BlockKernel
from palate.models.match.content_kernel.profiles import sparse_product, user_profiles
from palate.models.match.ease import dense_gram, ease_weights
from palate.training.selection import dense_metric, pseudo_cold

if TYPE_CHECKING:
    from palate.data.views import TrainView


SEARCH_ROWS = 4_000
"""Fitting items used in the search at most; every candidate setting costs their number cubed."""


def search_kernel(
    kernel: BlockKernel | AlignedKernel, mine: Mapping[str, Features], train: TrainView, c: Any, metric: str
) -> dict[str, Any]:
    """Choose on items that the fit does not see: the protocol's own, else a fifth of the training items."""
    view, held = pseudo_cold(train, c.select_users)
    if c.judge == "warm" and train.valid is not None:
        view, held = train, train.sampled(c.select_users).valid or train.valid
    rows = np.flatnonzero(view.visible_items)
    if len(rows) > SEARCH_ROWS:
        rows = np.sort(np.random.default_rng([train.seed, 2]).choice(rows, SEARCH_ROWS, replace=False))
    asked = rows if held.candidates is None else np.flatnonzero(held.candidates)
    content = train.all_features if not train.visible_items.all() else mine
    content = {name: content[name] for name in mine}
    kernel.fit(content, rows, view.matrix)
    own, cross = kernel.means(content, rows, rows), kernel.means(content, rows, asked)
    matrix = sp.csr_array(view.matrix[:, rows])
    place = np.full(train.n_items, -1)
    place[rows] = np.arange(len(rows))
    y = torch.zeros(len(held), len(rows))
    at = place[held.users.history.items]
    y[torch.from_numpy(held.users.history.owners()[at >= 0]), torch.from_numpy(at[at >= 0])] = 1.0
    popular = torch.nn.functional.normalize(torch.from_numpy(np.asarray(matrix.sum(axis=0), np.float32)), dim=0)
    value = dense_metric(held, asked, metric)
    gram = dense_gram(matrix)
    smoothed = {l2: sparse_product(y, ease_weights(gram, l2)) for l2 in _grid(c.l2, c.l2_grid)}
    tops = [(l2, m) for l2 in smoothed for m in _grid(c.mix, c.mix_grid)]
    best: tuple[float, dict[str, Any]] = (-1.0, {})

    def judge(weights: dict[str, float], ridge: float, profile_settings: list[tuple[float, float]], pops: Any) -> None:
        nonlocal best
        gram_k = kernel.combine(own, weights)
        gram_k.diagonal().add_(ridge)
        out = torch.cholesky_solve(kernel.combine(cross, weights), torch.linalg.cholesky(gram_k))
        common = popular @ out
        for l2, mix in profile_settings:
            scores = user_profiles(y, smoothed[l2], mix) @ out
            for pop in pops:
                found = value(scores + pop * common)
                if found > best[0]:
                    best = (found, dict(weights=dict(weights), ridge=ridge, l2=l2, mix=mix, popularity=pop))

    groups = kernel.groups
    for sharp, ridge in itertools.product(_grid(c.sharpness, c.sharpness_grid), _grid(c.ridge, c.ridge_grid)):
        judge({groups[0]: sharp}, ridge, tops, _grid(c.popularity, c.popularity_grid))
    for group in groups[1:]:
        base = best[1]
        for extra in (c.media[group],) if c.media and group in c.media else c.media_grid[1:]:
            tried = {**base["weights"], group: extra}
            judge(tried, base["ridge"], [(base["l2"], base["mix"])], [base["popularity"]])
    return best[1]


def _grid(value: float | None, grid: tuple[float, ...]) -> tuple[float, ...]:
    return grid if value is None else (value,)
