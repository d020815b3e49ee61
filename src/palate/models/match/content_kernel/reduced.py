"""Kernel regressions for items that lack modalities: one for every set of modalities that some items have.

An item without pictures is scored by what a regression says that never saw pictures, fitted to the same profiles: a
reduced model, which Saar-Tsechansky & Provost (JMLR 2007) find to beat imputation where values are missing when asked.
Its ridge is larger by as much as its features carry less of the kernel's weight: our own choice, made on validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features, modalities_of
from palate.models.match.content_kernel.aligned import AlignedKernel
from palate.models.match.content_kernel.blocks import BlockKernel

BLOCK = 1024
Kernel = BlockKernel | AlignedKernel
Rows = NDArray[np.int64]


def by_pattern(
    content: Mapping[str, Features], sources: Mapping[str, tuple[str, ...]]
) -> list[tuple[tuple[str, ...], Rows]]:
    """(features that the modalities of these items tell, items) for every set of modalities that occurs.

    An item has a modality if it has any feature made of that modality alone. Items without any are left out.
    """
    modalities = list(dict.fromkeys(m for name in content for m in sources[name]))
    here = modalities_of(content, sources, modalities)
    out = []
    for pattern in np.unique(here.T, axis=0):
        have = {modality for modality, there in zip(modalities, pattern) if there}
        names = tuple(name for name in content if have.issuperset(sources[name]))
        if names:
            out.append((names, np.flatnonzero((pattern == here.T).all(1))))
    return out


@dataclass(frozen=True)
class Regression:
    """What scores the items that have the features ``names``.

    Attributes:
        weights: of groups. solver: (K + ridge I)^-1 [w, w]. fitted: the fitted items as the kernel reads them.
    """

    names: tuple[str, ...]
    weights: Mapping[str, float]
    solver: Tensor
    fitted: Any


def regression(
    kernel: Kernel, fitted: Mapping[str, Features], names: tuple[str, ...], settings: Mapping[str, Any], solver: Tensor
) -> Regression:
    """The regression on ``names``; O(w^3) where that is not all features.

    Args:
        fitted: content of the fitted items. solver: (K + ridge I)^-1 [w, w] of all features.
    """
    weights = kernel.effective_weights(names, settings["weights"])
    known = fitted if len(names) == len(fitted) else kernel.only(fitted, names)
    places = np.arange(len(solver))
    if len(names) < len(fitted):
        gram = kernel.combine(kernel.means(known, places, places), weights)
        # what the missing features would have told is noise to the ones that are left
        gram.diagonal().add_(settings["ridge"] / kernel.share(names, weights))
        solver = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    return Regression(names, weights, solver, kernel.read(known, places, weights))


def item_columns(kernel: Kernel, by: Regression, content: Mapping[str, Features], items: Rows) -> Tensor:
    """(K + ridge I)^-1 K(fitted, items), float32 [w, len(items)]; O(w^2) for each item."""
    out = torch.empty(len(by.solver), len(items))
    for start in range(0, len(items), BLOCK):
        part = items[start : start + BLOCK]
        some = {name: found.take(part) for name, found in content.items()}
        known = some if len(by.names) == len(content) else kernel.only(some, by.names)
        side: Any = kernel.read(known, np.arange(len(part)), by.weights)
        out[:, start : start + BLOCK] = by.solver @ kernel.combine(kernel.between(by.fitted, side), by.weights)
    return out
