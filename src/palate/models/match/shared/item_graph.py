"""One item-item graph from content: given neighbours where the data have them, cosine k-NN elsewhere, mixed."""

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
from palate.modules.graph import Graph, Norm
from palate.modules.knn import EdgeWeights, mix_graphs, nearest_neighbours, neighbour_graph

if TYPE_CHECKING:
    from palate.data.views import TrainView

KNN = "knn_"
DEFAULT_WEIGHTS = {"image": 0.1, "video": 0.1}


def modality_weight(name: str, weights: Mapping[str, float]) -> float:
    """The weight of a feature: its own, else its modality's (before the dot), else .1 for pictures and video, .9.

    Args:
        name: of the feature.
        weights: feature or modality -> weight.
    """
    modality = name.partition(".")[0]
    return weights.get(name, weights.get(modality, DEFAULT_WEIGHTS.get(modality, 0.9)))


def item_graph(
    train: TrainView,
    content: ItemContent,
    k: int = 10,
    weights: Mapping[str, float] | None = None,
    edge: EdgeWeights = "binary",
    dropout: float = 0.0,
    norm: Norm = "row",
) -> Graph | None:
    """Normalised mixture over modalities of each item's ``k`` nearest neighbours, itself included.

    A relation ``knn_<modality>`` takes the place of that modality's vectors. Nothing outside ``train.visible_items`` is
    seen. Rows sum to one with ``norm`` row, or are empty where an item has no content.

    Args:
        train: all that training may see.
        content: loaded with what training may see.
        k: neighbours, the item included.
        weights: modality -> weight, see :func:`modality_weight`; scaled to sum to one.
        edge: ``binary`` (FREEDOM) or ``cosine`` edges before normalisation.
        dropout: probability that an item lacks a modality; the mixture is the mean over what is left.
        norm: of each modality's graph, see :meth:`palate.modules.graph.Graph.normalised`.

    Returns:
        [n_items, n_items], or None when there is no content at all.
    """
    n = train.n_items
    graphs: dict[str, Graph] = {}
    for name, edges in train.relations.edges.items():
        if name.startswith(KNN) and edges.target_kind == "item" and len(edges):
            graphs[name.removeprefix(KNN)] = given_graph(edges, n, k, edge, norm)
    for name in content.names:
        if name not in graphs and bool(content.present(name).any()):
            values, present = content.rows(name)
            neighbours = nearest_neighbours(values, present.cpu().numpy(), k)
            graphs[name] = neighbour_graph(*neighbours, weights=edge, norm=norm)
    if not graphs:
        return None
    shares = np.array([modality_weight(name, weights or {}) for name in graphs])
    if dropout:
        return _expected(graphs, shares, dropout)
    return mix_graphs(list(graphs.values()), list(shares / shares.sum()))


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


def given_graph(edges: Edges, n_items: int, k: int, edge: EdgeWeights = "binary", norm: Norm = "row") -> Graph:
    """The ``k - 1`` strongest given neighbours of each item and the item itself, normalised.

    Args:
        edges: from items to items.
        n_items: number of items.
        k: neighbours, the item included.
        edge: ``binary``, or ``cosine`` to keep the given weights.
        norm: see :meth:`palate.modules.graph.Graph.normalised`.
    """
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
    return Graph.from_pairs(rows, cols, (n_items, n_items), None if edge == "binary" else value).normalised(norm)


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
        content: loaded with all items.
        arrived: int64 [a], items that look for neighbours.
        fitted: bool [n_items], items that may be neighbours.
        k: neighbours.
        weights: modality -> share in the mixture.

    Returns:
        [a, n_items] with rows that sum to one (empty where an item has no content), or None when nothing arrived.
    """
    device = content.present(content.names[0]).device if content.names else torch.device("cpu")
    queries = {name: content.rows(name, arrived.to(device)) for name in content.names if len(arrived)}
    return near_graph(fitted_vectors(content, fitted) if queries else {}, queries, len(fitted), k, weights)


def fitted_vectors(content: ItemContent, fitted: Tensor) -> UnitVectors:
    """Unit vectors of the fitted items, which :func:`near_graph` searches.

    Args:
        content: loaded with all items.
        fitted: bool [n_items].
    """
    out = {}
    for name in content.names:
        values, present = content.rows(name)
        base = (present.cpu() & fitted).nonzero().squeeze(1)
        if len(base):
            out[name] = base, F.normalize(values, dim=1)[base.to(values.device)]
    return out


def near_graph(
    fitted: UnitVectors,
    queries: Mapping[str, tuple[Tensor, Tensor]],
    n_items: int,
    k: int = 10,
    weights: Mapping[str, float] | None = None,
    block: int = 1024,
) -> Graph | None:
    """The graph of :func:`arrivals_graph`, for given vectors. A row depends on its own item only. O(a m d).

    Args:
        fitted: what is searched, from :func:`fitted_vectors`.
        queries: feature name -> vectors [a, d] and mask [a] of the items that look for neighbours.
        n_items: columns of the graph.
        k: neighbours.
        weights: modality -> share in the mixture.
        block: items searched at a time.

    Returns:
        [a, n_items], or None when no item has content.
    """
    graphs, shares = [], []
    for name, (base, known) in fitted.items():
        values, present = queries[name]
        described = present.cpu().nonzero().squeeze(1)
        if not len(described):
            continue
        query, width = F.normalize(values, dim=1)[described.to(values.device)], min(k, len(base))
        best = torch.cat([(part @ known.T).topk(width, dim=1).indices.cpu() for part in query.split(block)])
        rows, size = described.repeat_interleave(width), (len(present), n_items)
        graphs.append(Graph.from_pairs(rows, base[best].reshape(-1), size).normalised("row"))
        shares.append(modality_weight(name, weights or {}))
    if not graphs:
        return None
    return mix_graphs(graphs, [share / sum(shares) for share in shares])
