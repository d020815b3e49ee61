"""One item-item graph from content: given neighbours where the data has them, cosine k-NN elsewhere, mixed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from palate.data.relations import Edges
from palate.features.item_content import ItemContent
from palate.modules.graph import Graph
from palate.modules.knn import EdgeWeights, mix_graphs, nearest_neighbours, neighbour_graph

if TYPE_CHECKING:
    from palate.data.views import TrainView

KNN = "knn_"
DEFAULT_WEIGHTS = {"image": 0.1, "video": 0.1}


def modality_weight(name: str, weights: Mapping[str, float]) -> float:
    """The weight of feature ``name``: its own, else its modality's (before the dot), else .1 for pictures, .9."""
    modality = name.partition(".")[0]
    return weights.get(name, weights.get(modality, DEFAULT_WEIGHTS.get(modality, 0.9)))


def item_graph(
    train: TrainView,
    content: ItemContent,
    k: int = 10,
    weights: Mapping[str, float] | None = None,
    edge: EdgeWeights = "binary",
    dropout: float = 0.0,
) -> Graph | None:
    """Row-normalised mixture over modalities of each item's ``k`` nearest neighbours, itself included.

    A relation ``knn_<modality>`` takes the place of that modality's vectors. Nothing outside ``train.visible_items`` is
    seen. Rows sum to one, or are empty where an item has no content.

    Args:
        content: loaded with what may be seen.
        weights: modality -> weight, see :func:`modality_weight`; scaled to sum to one.
        edge: ``binary`` (FREEDOM) or ``cosine`` edges before normalisation.
        dropout: chance that a modality is missing; the mixture is the mean over what is left.

    Returns:
        [n_items, n_items], or None when there is no content at all.
    """
    n = train.n_items
    graphs: dict[str, Graph] = {}
    for name, edges in train.relations.edges.items():
        if name.startswith(KNN) and edges.target_kind == "item" and len(edges):
            graphs[name.removeprefix(KNN)] = given_graph(edges, n, k, edge)
    for name in content.names:
        if name not in graphs and bool(content.present(name).any()):
            values, present = content.rows(name)
            found = nearest_neighbours(values, present.cpu().numpy(), k)
            graphs[name] = neighbour_graph(*found, weights=edge, norm="row")
    if not graphs:
        return None
    shares = np.array([modality_weight(name, weights or {}) for name in graphs])
    whole = mix_graphs(list(graphs.values()), list(shares / shares.sum()))
    return _expected(graphs, shares, dropout) if dropout else whole


def _expected(graphs: Mapping[str, Graph], weights: NDArray[np.float64], dropout: float) -> Graph:
    """The mixture of ``graphs``, averaged over the sets of modalities that dropout may leave."""
    owners = [name.partition(".")[0] for name in graphs]
    parts, chances = [], []
    for kept in product((True, False), repeat=len(set(owners))):
        left = dict(zip(dict.fromkeys(owners), kept))
        shares = weights * [left[owner] for owner in owners]
        if shares.sum() > 0:
            parts.append(mix_graphs(list(graphs.values()), list(shares / shares.sum())))
            chances.append((1 - dropout) ** sum(kept) * dropout ** (len(kept) - sum(kept)))
    return mix_graphs(parts, list(np.array(chances) / sum(chances)))


def given_graph(edges: Edges, n_items: int, k: int, edge: EdgeWeights = "binary") -> Graph:
    """The ``k - 1`` strongest given neighbours of each item and the item itself, row-normalised."""
    source, target = edges.source, edges.target
    other = source != target
    source, target, weight = source[other], target[other], edges.weight[other]
    order = np.lexsort((target, -weight, source))
    source, target, weight = source[order], target[order], weight[order]
    place = np.arange(len(source)) - np.searchsorted(source, source)
    near = place < max(k - 1, 1)
    owners = np.unique(source)
    rows = np.concatenate([source[near], owners])
    cols = np.concatenate([target[near], owners])
    value = np.concatenate([weight[near], np.ones(len(owners), np.float32)]).clip(min=0)
    return Graph.from_pairs(rows, cols, (n_items, n_items), None if edge == "binary" else value).normalised("row")


UnitVectors = Mapping[str, tuple[Tensor, Tensor]]
"""Feature -> rows int64 [m] that may be neighbours, and their unit vectors [m, d]."""


def arrivals_graph(
    content: ItemContent,
    arrived: Tensor,
    fitted: Tensor,
    k: int = 10,
    weights: Mapping[str, float] | None = None,
) -> Graph | None:
    """Each arrived item's ``k`` nearest fitted items by cosine, averaged within and mixed over modalities.

    Args:
        content: loaded with all items. arrived: int64 [a], rows to describe. fitted: bool [n_items], rows that may be
            neighbours.

    Returns:
        [a, n_items] with rows that sum to one (empty where an item has no content), or None when nothing arrived.
    """
    device = content.present(content.names[0]).device if content.names else torch.device("cpu")
    asked = {name: content.rows(name, arrived.to(device)) for name in content.names if len(arrived)}
    return near_graph(fitted_vectors(content, fitted) if asked else {}, asked, len(fitted), k, weights)


def fitted_vectors(content: ItemContent, fitted: Tensor) -> UnitVectors:
    """What :func:`near_graph` compares with: the fitted items' vectors, by feature."""
    out = {}
    for name in content.names:
        values, present = content.rows(name)
        base = (present.cpu() & fitted).nonzero().squeeze(1)
        if len(base):
            out[name] = base, F.normalize(values, dim=1)[base.to(values.device)]
    return out


def near_graph(
    fitted: UnitVectors,
    asked: Mapping[str, tuple[Tensor, Tensor]],
    n_items: int,
    k: int = 10,
    weights: Mapping[str, float] | None = None,
    block: int = 1024,
) -> Graph | None:
    """The graph of :func:`arrivals_graph` for items with vectors [a, d] and masks [a] ``asked``, by feature.

    A row depends on its own item only. O(a m d).
    """
    graphs, shares = [], []
    for name, (base, known) in fitted.items():
        values, present = asked[name]
        there = present.cpu().nonzero().squeeze(1)
        if not len(there):
            continue
        query, width = F.normalize(values, dim=1)[there.to(values.device)], min(k, len(base))
        best = torch.cat([(part @ known.T).topk(width, dim=1).indices.cpu() for part in query.split(block)])
        rows, size = there.repeat_interleave(width), (len(present), n_items)
        graphs.append(Graph.from_pairs(rows, base[best].reshape(-1), size).normalised("row"))
        shares.append(modality_weight(name, weights or {}))
    if not graphs:
        return None
    return mix_graphs(graphs, [share / sum(shares) for share in shares])
