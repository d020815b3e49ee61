"""Nearest fitted items of items that arrived, kept from one content to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from palate.core.item_features import ItemFeatures
from palate.features.item_content import ItemContent
from palate.models.match.shared.columns import Rows, worth_patching
from palate.models.match.shared.item_graph import UnitVectors, fitted_vectors, near_graph


@dataclass(frozen=True)
class Near:
    """Nearest fitted items of those that arrived; nothing is written in place.

    Attributes:
        features: of all items.
        rows: int64 [a], ascending: items that are not fitted and have content.
        graph: [a, n_items], rows sum to one or are empty; None where no item has a neighbour.
        fitted: unit vectors of the fitted items, which are searched.
    """

    features: ItemFeatures
    rows: Rows
    graph: sp.csr_array | None
    fitted: UnitVectors


def nearest(
    content: ItemContent,
    features: ItemFeatures,
    fitted: Tensor,
    k: int,
    weights: Mapping[str, float] | None,
    before: Near | None,
) -> Near:
    """Neighbours of items that are not fitted, found again only for items that differ from ``before`` where few do.

    O(fitted) for each new or changed item; O(fitted) for each arrived one where a fitted item changed.

    Args:
        content: reads vectors; ``features`` are loaded into it only where all neighbours are searched again.
        features: of all items.
        fitted: bool [fitted items], which may be neighbours.
        k: neighbours.
        weights: modality -> share in the mixture.
        before: neighbours in earlier features, or None.
    """
    features, n_items = features.select(content.names), features.n_items
    if before is None or before.graph is None or n_items < before.features.n_items:
        return _search_all(content, features, fitted, k, weights)
    changed = features.changed_since(before.features)
    moved = bool(fitted[torch.from_numpy(changed[changed < len(fitted)])].any())
    if moved or not features or not worth_patching(changed, n_items):
        return _search_all(content, features, fitted, k, weights)
    present: NDArray[np.bool_] = np.any([vectors.present[changed] for vectors in features.values()], axis=0)
    new, kept = changed[present], ~np.isin(before.rows, changed)
    added = near_graph(before.fitted, content.rows_of(features, new), n_items, k, weights) if len(new) else None
    parts = [
        _widened(before.graph[kept], n_items),
        sp.csr_array((len(new), n_items)) if added is None else added.to_scipy(),
    ]
    rows = np.concatenate([before.rows[kept], new])
    order = np.argsort(rows, kind="stable")
    graph = sp.csr_array(sp.vstack(parts, format="csr", dtype=np.float32))[order]
    return Near(features, rows[order], graph, before.fitted)


def _search_all(
    content: ItemContent, features: ItemFeatures, fitted: Tensor, k: int, weights: Mapping[str, float] | None
) -> Near:
    n_items = features.n_items
    content.load(features)
    candidates = pad(fitted.cpu(), (0, n_items - len(fitted)))
    rows = (~candidates & content.any_present(n_items)).nonzero().squeeze(1)
    device = content.present(content.names[0]).device if content.names else torch.device("cpu")
    searched = {n: (base, vectors.cpu()) for n, (base, vectors) in fitted_vectors(content, candidates).items()}
    read = {name: content.rows(name, rows.to(device)) for name in content.names}
    queries = {name: (values.cpu(), present.cpu()) for name, (values, present) in read.items()}
    graph = near_graph(searched, queries, n_items, k, weights) if len(rows) else None
    return Near(features, rows.numpy(), None if graph is None else graph.to_scipy(), searched)


def _widened(graph: sp.csr_array, columns: int) -> sp.csr_array:
    return sp.csr_array((graph.data, graph.indices, graph.indptr), shape=(graph.shape[0], columns))
