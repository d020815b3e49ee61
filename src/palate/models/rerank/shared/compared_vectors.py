"""Vectors that items are compared by: those of the matcher, or of their content."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.errors import ConfigError, UnsupportedError, did_you_mean
from palate.ranking.scorer import Scorer


def matcher_vectors(scorer: Scorer, name: str) -> NDArray[np.float32]:
    """Item vectors of a matcher: float32 [n_items, d].

    Args:
        scorer: of the matcher.
        name: of the matcher.

    Raises:
        UnsupportedError: if it has none.
    """
    try:
        vectors: NDArray[np.float32] = scorer.item_vectors().float().cpu().numpy()
    except UnsupportedError:
        raise UnsupportedError(
            f"{name} has no item vectors to compare items by",
            key="base",
            hint="name a matcher with vectors, or a content feature: vectors=text",
        ) from None
    return vectors


def content_vectors(features: Mapping[str, Features], name: str) -> NDArray[np.float32]:
    """Vectors of a content feature: float32 [n_items, d], zeros for items without one.

    Args:
        features: of all items.
        name: of the feature.

    Raises:
        ConfigError: if there is no such feature of one vector an item.
    """
    found = features.get(name)
    if found is None or found.kind != "pooled":
        names = [one for one, held in features.items() if held.kind == "pooled"]
        raise ConfigError(f"there is no content feature {name!r}", key="vectors", hint=did_you_mean(name, names))
    return np.where(found.present[:, None], found.values, 0).astype(np.float32)
