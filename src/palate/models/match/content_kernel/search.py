"""Choose the settings of a content kernel: weights of groups, ridge, and how profiles are made."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.progress import progress
from palate.models.match.content_kernel.aligned import AlignedKernel
from palate.models.match.content_kernel.blocks import BlockKernel
from palate.models.match.content_kernel.config import KernelConfig
from palate.models.match.content_kernel.factor import cholesky
from palate.models.match.content_kernel.profiles import sparse_product, user_profiles
from palate.models.match.ease import dense_gram, ease_weights
from palate.training.selection import dense_metric, pseudo_cold

if TYPE_CHECKING:
    from palate.data.views import EvaluationQueries, TrainView

log = logging.getLogger("palate")
SEARCH_ROWS = 4_000
"""Fitting items used in the search at most; every candidate setting costs their number cubed."""


def search_kernel(
    kernel: BlockKernel | AlignedKernel,
    features: Mapping[str, Features],
    train: TrainView,
    config: KernelConfig,
    run: RunContext,
) -> dict[str, Any]:
    """Choose on items that the fit does not see: the protocol's own, else a fifth of the training items.

    Args:
        kernel: is fitted to the items of the search.
        features: feature name -> vectors that the model reads.
        train: all that training may see.
        config: settings that are given, and the grids of the others.
        run: seed, and the metric that is maximised.

    Returns:
        ``weights`` of the kernel's groups, ``ridge``, ``l2``, ``mix`` and ``popularity``; the first of each grid where
        too few interactions are left to ask about.
    """
    if config.judge == "warm" and train.valid is not None:
        view, held = train, train.sampled(config.select_users, run.seed).valid or train.valid
    elif (asked := pseudo_cold(train, config.select_users, run.seed)) is not None:
        view, held = asked
    else:
        log.warning("content_kernel: too few interactions to choose settings on: the first of each grid are taken")
        return _first(kernel, config)
    rows = np.flatnonzero(view.visible_items)
    if len(rows) > SEARCH_ROWS:
        rows = np.sort(np.random.default_rng([run.seed, 2]).choice(rows, SEARCH_ROWS, replace=False))
    candidates = rows if held.candidates is None else np.flatnonzero(held.candidates)
    content = train.all_features if not train.visible_items.all() else features
    content = {name: content[name] for name in features}
    kernel.fit(content, rows, view.matrix)
    own, cross = kernel.means(content, rows, rows), kernel.means(content, rows, candidates)
    matrix = sp.csr_array(view.matrix[:, rows])
    y = _histories(held, rows, train.n_items)
    popular = torch.nn.functional.normalize(torch.from_numpy(np.asarray(matrix.sum(axis=0), np.float32)), dim=0)
    value = dense_metric(held, candidates, run.metric)
    gram = dense_gram(matrix)
    smoothed = {l2: sparse_product(y, ease_weights(gram, l2)) for l2 in _grid(config.l2, config.l2_grid)}
    best: tuple[float, dict[str, Any]] = (-np.inf, {})

    def judge(
        weights: dict[str, float], ridge: float, profiles: list[tuple[float, float]], popularities: Sequence[float]
    ) -> None:
        """Keep the best of the profiles, (l2, mix) each, and weights of popularity with one kernel."""
        nonlocal best
        gram_k = kernel.combine(own, weights)
        gram_k.diagonal().add_(ridge)
        out = torch.cholesky_solve(kernel.combine(cross, weights), cholesky(gram_k))
        common = popular @ out
        for l2, mix in profiles:
            scores = user_profiles(y, smoothed[l2], mix) @ out
            for popularity in popularities:
                score = value(scores + popularity * common)
                if score > best[0]:
                    best = (score, dict(weights=dict(weights), ridge=ridge, l2=l2, mix=mix, popularity=popularity))

    groups = kernel.groups
    profiles = [(l2, mix) for l2 in smoothed for mix in _grid(config.mix, config.mix_grid)]
    popularities = _grid(config.popularity, config.popularity_grid)
    sharpness, ridges = _grid(config.sharpness, config.sharpness_grid), _grid(config.ridge, config.ridge_grid)
    media = {group: (config.media or {}).get(group) for group in groups[1:]}
    tried = {group: config.media_grid[1:] if given is None else (given,) for group, given in media.items()}
    with progress("choosing the kernel", kernels_tried(groups, config)) as advance:
        for sharp, ridge in itertools.product(sharpness, ridges):
            judge({groups[0]: sharp}, ridge, profiles, popularities)
            advance(1)
        for group, grid in tried.items():
            base = best[1]
            for weight in grid:
                weights = {**base["weights"], group: weight}
                judge(weights, base["ridge"], [(base["l2"], base["mix"])], [base["popularity"]])
                advance(1)
    return best[1]


def kernels_tried(groups: Sequence[str], config: KernelConfig) -> int:
    """How many kernels a search inverts.

    Args:
        groups: of the kernel.
        config: settings that are given, and the grids of the others.
    """
    weights = [(config.media or {}).get(group) for group in groups[1:]]
    first = len(_grid(config.sharpness, config.sharpness_grid)) * len(_grid(config.ridge, config.ridge_grid))
    return first + sum(len(config.media_grid) - 1 if weight is None else 1 for weight in weights)


def _first(kernel: BlockKernel | AlignedKernel, config: KernelConfig) -> dict[str, Any]:
    """The first setting of each grid, or what is given."""
    c, (group, *media) = config, kernel.groups
    given = {name: (c.media or {}).get(name, c.media_grid[0]) for name in media}
    return dict(
        weights={group: _grid(c.sharpness, c.sharpness_grid)[0], **{name: w for name, w in given.items() if w}},
        ridge=_grid(c.ridge, c.ridge_grid)[0], l2=_grid(c.l2, c.l2_grid)[0], mix=_grid(c.mix, c.mix_grid)[0],
        popularity=_grid(c.popularity, c.popularity_grid)[0],
    )  # fmt: skip


def _histories(held: EvaluationQueries, rows: NDArray[np.int64], n_items: int) -> Tensor:
    """Histories over the items ``rows`` as rows of ones, float32 [queries, len(rows)]."""
    place = np.full(n_items, -1)
    place[rows] = np.arange(len(rows))
    at = place[held.users.history.items]
    y = torch.zeros(len(held), len(rows))
    y[torch.from_numpy(held.users.history.owners()[at >= 0]), torch.from_numpy(at[at >= 0])] = 1.0
    return y


def _grid(value: float | None, grid: tuple[float, ...]) -> tuple[float, ...]:
    return grid if value is None else (value,)
