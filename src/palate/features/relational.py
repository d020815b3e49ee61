"""Features made of relations among items, for modalities that have a graph but no vectors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.data.relations import Relations
from palate.modules.graph import Graph
from palate.modules.spectral import spectral_embedding

SPECTRAL = "spectral"


def relational_features(relations: Relations, encoded: Collection[str], n_items: int) -> dict[str, Features]:
    """Spectral embeddings of given ``knn_<modality>`` graphs, by modality.

    Args:
        relations: relations among items.
        encoded: modalities that have vectors already and get none here.
        n_items: number of items.
    """
    out = {}
    for name, edges in relations.edges.items():
        modality = name.removeprefix("knn_")
        if name.startswith("knn_") and modality not in encoded:
            graph = Graph.from_pairs(edges.source, edges.target, (n_items, n_items), edges.weight)
            values, present = spectral_embedding(graph)
            out[modality] = Features(values, present, identity=f"{SPECTRAL}:{name}")
    return out


def is_relational(features: Features) -> bool:
    """Whether :func:`relational_features` made them, so that no encoder can make them again."""
    return features.identity.startswith(f"{SPECTRAL}:")


def take_known(features: Features, rows: NDArray[np.int64]) -> Features:
    """The features of ``rows`` int64 [m]; rows beyond the last one are absent."""
    known = rows < len(features)
    values = np.zeros((len(rows), *features.values.shape[1:]), features.values.dtype)
    present = np.zeros(len(rows), bool)
    values[known], present[known] = features.values[rows[known]], features.present[rows[known]]
    return replace(features, values=values, present=present)
