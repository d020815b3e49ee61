"""Dense vectors for the nodes of a graph, where only the graph is known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.errors import ConfigError
from palate.modules.graph import Graph
from palate.modules.propagate import propagate

_ROWS = 1 << 16
"""Rows of a tall matrix turned into float64 at once."""


def truncated_svd(
    graph: Graph, dim: int, rounds: int = 20, extra: int = 16, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute leading singular triplets of a sparse matrix by randomised subspace iteration (Halko et al., 2011).

    Only products with the matrix and its transpose: O(edges * (dim + extra) * rounds) time, memory for a few tables of
    ``dim + extra`` columns. Deterministic: the start comes from ``seed`` and the largest entry of every right vector is
    positive.

    Args:
        graph: A [n, m].
        dim: number of triplets; there are at most min(n, m).
        rounds: passes over A^T A. Few suffice where values fall fast; where they hardly fall, as in most
            interactions, the directions go on turning for long after the values have settled.
        extra: further columns of the subspace, which make the last triplets more accurate.
        seed: of the random start.

    Returns:
        ``left`` float32 [n, r], singular values [r], falling, and ``right`` float32 [m, r], with r <= dim;
        A ~ left diag(values) right^T. A singular value of zero has a left vector of zeros.

    Raises:
        ConfigError: ``dim`` or ``rounds`` is below 1.
    """
    if dim < 1 or rounds < 1:
        raise ConfigError(f"a truncated SVD needs dim and rounds >= 1, got {dim} and {rounds}")
    width = min(dim + extra, *graph.shape)
    basis = torch.randn(graph.shape[1], width, generator=torch.Generator().manual_seed(seed))
    for _ in range(rounds):
        basis = torch.linalg.qr(basis)[0]
        basis = propagate(graph.transpose, propagate(graph, basis))
    basis = torch.linalg.qr(basis)[0]
    image = propagate(graph, basis)
    gram = torch.zeros(width, width, dtype=torch.float64)
    for part in image.split(_ROWS):
        gram.addmm_(part.double().T, part.double())
    squares, turn = torch.linalg.eigh(gram)
    values, turn = squares.flip(0).clamp(min=0).sqrt().float()[:dim], turn.flip(1).float()[:, :dim]
    right = basis @ turn
    sign = right.gather(0, right.abs().argmax(0, keepdim=True)).sign()
    left = image @ (turn * sign / values.clamp(min=torch.finfo(torch.float32).tiny))
    return left * (values > 0), values, right * sign


def spectral_embedding(graph: Graph, dim: int = 64, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Leading eigenvectors of the symmetrised, sym-normalised graph, scaled by the roots of their eigenvalues.

    ``X X.T`` is then the best approximation of the graph by a positive semi-definite matrix of rank ``dim``, so that
    neighbours have similar rows: a stand-in for dense features when only their k-NN graph could be had. Say so
    wherever a number rests on it. Deterministic: the start vector comes from ``seed`` and the largest entry of every
    eigenvector is positive.

    Args:
        graph: square [n, n] with weights of at least 0.
        dim: columns of the result; columns beyond the number of positive eigenvalues are zero.
        seed: start vector of the Lanczos iteration.

    Returns:
        float32 [n, dim], and bool [n]: False for nodes without edges, whose rows are zero.

    Raises:
        ConfigError: the graph is not square, or ``dim`` is below 1.
    """
    from scipy.sparse.linalg import eigsh

    if dim < 1 or graph.shape[0] != graph.shape[1]:
        raise ConfigError(f"a spectral embedding needs a square graph and dim >= 1, got {graph.shape} and {dim}")
    matrix = graph.to_scipy().astype(np.float64)
    both = Graph.from_scipy((matrix + matrix.T) / 2, symmetric=True).normalised("sym")
    present = both.degrees.numpy() > 0
    inside = np.flatnonzero(present)
    out = np.zeros((len(present), dim), np.float32)
    core = both.to_scipy().astype(np.float64)[inside][:, inside]
    if len(inside) <= max(dim + 1, 32):
        value, vector = np.linalg.eigh(core.toarray())
    else:
        start = np.random.default_rng(seed).standard_normal(len(inside))
        value, vector = eigsh(core, k=dim, which="LA", v0=start)
    order = np.argsort(-value, kind="stable")[:dim]
    value, vector = value[order], vector[:, order]
    if vector.size:
        peak = np.take_along_axis(vector, np.abs(vector).argmax(0)[None], 0)
        vector = vector * np.where(peak < 0, -1.0, 1.0) * np.sqrt(np.maximum(value, 0))
    out[inside, : vector.shape[1]] = vector
    return out, present
