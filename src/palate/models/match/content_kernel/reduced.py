"""Kernel regressions for items that lack modalities: one for every set of modalities that some items have.

An item without pictures is scored by a regression that never saw pictures, fitted to the same profiles: a reduced
model, which Saar-Tsechansky & Provost (JMLR 2007) find to beat imputation where values are missing at prediction time.
Its ridge is larger by as much as its features carry less of the kernel's weight: our own choice, made on validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palate.core.content import Features, modalities_of
from palate.models.match.content_kernel.aligned import AlignedKernel
from palate.models.match.content_kernel.blocks import BlockKernel
from palate.models.match.content_kernel.factor import cholesky
from palate.models.match.shared.columns import Rows

BLOCK = 1024
"""Items whose columns are computed at a time."""
Kernel = BlockKernel | AlignedKernel


def by_pattern(
    content: Mapping[str, Features], sources: Mapping[str, tuple[str, ...]]
) -> list[tuple[tuple[str, ...], Rows]]:
    """Group items by the set of modalities that they have.

    An item has a modality if it has any feature made of that modality alone.

    Args:
        content: feature name -> vectors of the items.
        sources: feature name -> the modalities it is made of.

    Returns:
        (features made of these modalities, int64 rows of the items) for every set that occurs; items without any
        modality are left out.
    """
    modalities = list(dict.fromkeys(modality for name in content for modality in sources[name]))
    present = modalities_of(content, sources, modalities)
    out = []
    for pattern in np.unique(present.T, axis=0):
        have = {modality for modality, has in zip(modalities, pattern) if has}
        names = tuple(name for name in content if have.issuperset(sources[name]))
        if names:
            out.append((names, np.flatnonzero((pattern == present.T).all(1))))
    return out


@dataclass(frozen=True)
class Regression:
    """The regression for items that have the features ``names``.

    Attributes:
        names: features that it reads.
        weights: weights of the kernel's groups.
        solver: (K + ridge I)^-1, float32 [w, w].
        fitted: the fitted items, prepared by the kernel.
    """

    names: tuple[str, ...]
    weights: Mapping[str, float]
    solver: Tensor
    fitted: Any


def regression(
    kernel: Kernel, fitted: Mapping[str, Features], names: tuple[str, ...], settings: Mapping[str, Any], solver: Tensor
) -> Regression:
    """Fit the regression on some features; O(w^3) unless these are all.

    Args:
        kernel: fitted.
        fitted: feature name -> vectors of the fitted items.
        names: features that the regression reads.
        settings: ``weights`` of groups and ``ridge``.
        solver: (K + ridge I)^-1 [w, w] of all features.
    """
    weights = kernel.effective_weights(names, settings["weights"])
    part = fitted if len(names) == len(fitted) else kernel.keep_only(fitted, names)
    places = np.arange(len(solver))
    if len(names) < len(fitted):
        gram = kernel.combine(kernel.means(part, places, places), weights)
        # what the missing features would have explained is noise to those that are left
        gram.diagonal().add_(settings["ridge"] / kernel.weight_share(names, weights))
        solver = torch.cholesky_inverse(cholesky(gram))
    return Regression(names, weights, solver, kernel.read(part, places, weights))


def item_columns(kernel: Kernel, fit: Regression, content: Mapping[str, Features], items: Rows) -> Tensor:
    """(K + ridge I)^-1 K(fitted, items), float32 [w, len(items)]; O(w^2) for each item.

    Args:
        kernel: fitted.
        fit: the regression.
        content: feature name -> vectors of all items.
        items: int64 [n], rows of ``content``.
    """
    out = torch.empty(len(fit.solver), len(items))
    for start in range(0, len(items), BLOCK):
        rows = items[start : start + BLOCK]
        part = {name: features.take(rows) for name, features in content.items()}
        part = part if len(fit.names) == len(content) else kernel.keep_only(part, fit.names)
        prepared: Any = kernel.read(part, np.arange(len(rows)), fit.weights)
        similarity = kernel.combine(kernel.between(fit.fitted, prepared), fit.weights)
        out[:, start : start + BLOCK] = fit.solver @ similarity
    return out
