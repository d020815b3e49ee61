"""Kernel regressions for items that lack modalities: one for every set of modalities that some items have.

An item without pictures is scored by what a regression says that never saw pictures, fitted to the same profiles: a
reduced model, which Saar-Tsechansky & Provost (JMLR 2007) find to beat imputation where values are missing when asked.
Its ridge is larger by as much as its features carry less of the kernel's weight: our own choice, made on validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features, modalities_of

from ._aligned import AlignedKernel
from ._kernel import BlockKernel

CHUNK = 2048
Kernel = BlockKernel | AlignedKernel
Places = NDArray[np.int64]


def by_pattern(
    content: Mapping[str, Features], sources: Mapping[str, tuple[str, ...]]
) -> list[tuple[tuple[str, ...], Places]]:
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


def carry(
    kernel: Kernel,
    content: Mapping[str, Features],
    rows: Places,
    settings: Mapping[str, Any],
    solver: Tensor,
    patterns: list[tuple[tuple[str, ...], Places]],
) -> Tensor:
    """(K + ridge I)^-1 K(rows, items) float32 [w, N], by pattern; zero for items in none.

    Args:
        rows: the fitted items. solver: (K + ridge I)^-1 [w, w] of all features. patterns: as of :func:`by_pattern`.
    """
    out = torch.zeros(len(rows), len(next(iter(content.values()))))
    for names, items in patterns:
        known, weights, mine = content, settings["weights"], solver
        if len(names) < len(content):
            known = kernel.only(content, names)
            means = kernel.means(known, rows, rows)
            weights = _some(weights, means)
            gram = kernel.combine(means, weights)
            # what the missing features would have told is noise to the ones that are left
            gram.diagonal().add_(settings["ridge"] / kernel.share(names, weights))
            mine = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        for start in range(0, len(items), CHUNK):
            part = items[start : start + CHUNK]
            out[:, torch.from_numpy(part)] = mine @ kernel.combine(kernel.means(known, rows, part), weights)
    return out


def _some(weights: Mapping[str, float], means: Mapping[str, Tensor]) -> Mapping[str, float]:
    """``weights``, or 1 for groups that had none beside the others and are now alone."""
    return weights if any(weights.get(group) for group in means) else dict.fromkeys(means, 1.0)
