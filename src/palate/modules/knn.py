"""Item-item graphs from content: cosine k-NN in blocks, graphs of given neighbours, mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from palate.core.errors import ConfigError, DataError, FeatureError
from palate.modules.graph import Graph, Norm

EdgeWeights = Literal["binary", "cosine"]


def nearest_neighbours(
    features: ArrayLike | Tensor,
    present: ArrayLike | None = None,
    k: int = 10,
    include_self: bool = True,
    block: int = 1024,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the ``k`` most similar rows by cosine, exactly, with O(block x n) memory.

    Args:
        features: float [n, d].
        present: bool [n]; absent rows (and zero vectors, which have no direction) neither have nor are neighbours.
        k: neighbours of each row; the row itself counts as one if ``include_self`` (the convention of LATTICE/FREEDOM).
        include_self: whether a row may be its own neighbour.
        block: rows compared at a time.

    Returns:
        ``idx`` int64 [n, k] and ``cos`` float32 [n, k], most similar first; -1 and 0 where there are fewer than ``k``.

    Raises:
        FeatureError: a present row is not finite, or the shapes do not fit.
        ConfigError: ``k`` is below 1.
    """
    if k < 1:
        raise ConfigError(f"at least one neighbour is needed, got {k}", key="k")
    x = torch.as_tensor(np.asarray(features) if not isinstance(features, Tensor) else features).detach().float()
    mask = torch.ones(len(x), dtype=torch.bool) if present is None else torch.as_tensor(np.asarray(present, bool))
    if x.ndim != 2 or len(mask) != len(x):
        raise FeatureError(f"features of shape {tuple(x.shape)} with a mask of {len(mask)} rows")
    mask = mask.to(x.device)
    broken = mask & ~torch.isfinite(x).all(1)
    if broken.any():
        raise FeatureError("a feature vector is not finite", row=int(broken.nonzero()[0]) + 1)
    rows = (mask & (x.abs().amax(1) > 0)).nonzero().squeeze(1)
    idx = np.full((len(x), k), -1, np.int64)
    cos = np.zeros((len(x), k), np.float32)
    unit = F.normalize(x[rows], dim=1)
    width = min(k, len(rows) - (not include_self))
    if width < 1:
        return idx, cos
    for start in range(0, len(rows), block):
        score = unit[start : start + block] @ unit.T
        if not include_self:
            local = torch.arange(len(score), device=score.device)
            score[local, local + start] = -torch.inf
        best = score.topk(width, dim=1)
        at = rows[start : start + block].cpu().numpy()
        idx[at, :width] = rows[best.indices].cpu().numpy()
        cos[at, :width] = best.values.clamp(-1, 1).cpu().numpy()
    return idx, cos


def neighbour_graph(
    idx: ArrayLike,
    cos: ArrayLike,
    n: int | None = None,
    *,
    weights: EdgeWeights = "cosine",
    symmetrise: bool = False,
    norm: Norm = "sym",
) -> Graph:
    """Make a square graph of given neighbours.

    Args:
        idx: int [rows, k], -1 for padding.
        cos: float [rows, k], similarities of ``idx``.
        n: number of nodes, by default the number of rows.
        weights: ``cosine`` (LATTICE; similarities below zero carry no edge) or ``binary`` (FREEDOM).
        symmetrise: add missing reverse edges, ``max(A, A.T)``; otherwise the graph is directed, as in both papers.
        norm: see :meth:`palate.modules.graph.Graph.normalised`.

    Raises:
        DataError: the shapes differ, or a neighbour is out of range.
    """
    index, value = np.asarray(idx, np.int64), np.asarray(cos, np.float32)
    if index.ndim != 2 or index.shape != value.shape:
        raise DataError(f"neighbours of shape {index.shape} with similarities of shape {value.shape}")
    size = len(index) if n is None else n
    keep = (index >= 0) & ((value > 0) if weights == "cosine" else np.isfinite(value))
    rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)[keep]
    edge = value[keep] if weights == "cosine" else None
    graph = Graph.from_pairs(rows, index[keep], (size, size), edge)
    if symmetrise:
        matrix = graph.to_scipy()
        graph = Graph.from_scipy(matrix.maximum(matrix.T), symmetric=True)
    return graph.normalised(norm)


def knn_graph(
    features: ArrayLike | Tensor,
    present: ArrayLike | None = None,
    k: int = 10,
    *,
    weights: EdgeWeights = "cosine",
    include_self: bool = True,
    symmetrise: bool = False,
    norm: Norm = "sym",
) -> Graph:
    """Make the graph of :func:`nearest_neighbours` by :func:`neighbour_graph`; absent items have no edge in or out.

    Args:
        features: float [n, d].
        present: bool [n].
        k: neighbours of each row.
        weights: see :func:`neighbour_graph`.
        include_self: see :func:`nearest_neighbours`.
        symmetrise: see :func:`neighbour_graph`.
        norm: see :meth:`palate.modules.graph.Graph.normalised`.

    Raises:
        FeatureError: a present row is not finite, or the shapes do not fit.
        ConfigError: ``k`` is below 1.
    """
    idx, cos = nearest_neighbours(features, present, k, include_self)
    return neighbour_graph(idx, cos, weights=weights, symmetrise=symmetrise, norm=norm)


def mix_graphs(graphs: Sequence[Graph], weights: Sequence[float]) -> Graph:
    """Weighted sum of graphs of one shape, for example .1 image + .9 text.

    Where a row has no edge in some of them (a missing modality) its other weights are scaled up to the same total.

    Args:
        graphs: at least one.
        weights: of each graph, not negative.

    Raises:
        DataError: the shapes or the numbers of graphs and weights differ.
        ConfigError: a weight is negative, or all are zero.
    """
    if not graphs or len(graphs) != len(weights) or len({graph.shape for graph in graphs}) > 1:
        raise DataError(f"{len(graphs)} graphs with {len(weights)} weights; all must have one shape")
    if min(weights) < 0 or sum(weights) <= 0:
        raise ConfigError(f"weights must not be negative and not all zero, got {list(weights)}", key="weights")
    import scipy.sparse as sp

    has = np.stack([graph.degrees.cpu().numpy() > 0 for graph in graphs])
    share = has * np.asarray(weights, np.float64)[:, None]
    mass = share.sum(0)
    share *= np.divide(sum(weights), mass, out=np.zeros_like(mass), where=mass > 0)
    total = sum(sp.diags_array(row) @ graph.to_scipy() for row, graph in zip(share, graphs))
    plain = bool((share == share[:, :1]).all())
    return Graph.from_scipy(total, symmetric=plain and all(graph.symmetric for graph in graphs))
