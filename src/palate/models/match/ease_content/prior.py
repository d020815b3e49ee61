"""The linear algebra of EASE with content: weighted Gram matrix, content prior, widened histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.features.item_content import ItemContent
from palate.models.match.ease import dense_gram
from palate.models.match.shared.item_graph import item_graph

if TYPE_CHECKING:
    from palate.data.views import TrainView


def weighted_gram(matrix: sp.csr_array, power: float) -> NDArray[np.float32]:
    """X^T W X, float32 [N, N], with W = diag(n_u^-power), scaled so that sum_u w_u n_u = sum_u n_u.

    Args:
        matrix: X, [users, N].
        power: exponent of the activity weight.
    """
    counts = np.diff(matrix.indptr).astype(np.float64)
    w = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    w *= counts.sum() / max(float(w @ counts), 1e-12)
    scaled = sp.diags_array(np.sqrt(w)) @ matrix
    return dense_gram(sp.csr_array(scaled, dtype=np.float32))


def prior_graph(
    train: TrainView, content: ItemContent, k: int, weights: Mapping[str, float] | None, dropout: float = 0.0
) -> sp.csr_array:
    """S [N, N]: the content graph made symmetric, D^-1/2 A D^-1/2, no diagonal; empty without content.

    Args:
        train: all that training may see.
        content: loaded with what training may see.
        k: content neighbours of an item, the item included.
        weights: modality -> weight.
        dropout: probability that an item lacks a modality.
    """
    graph = item_graph(train, content, k, weights, "cosine", dropout)
    if graph is None:
        return sp.csr_array((train.n_items, train.n_items), dtype=np.float32)
    adjacency = sp.csr_array(graph.to_scipy())
    adjacency = sp.csr_array(adjacency + adjacency.T)
    adjacency.setdiag(0)
    adjacency.eliminate_zeros()
    scale = power_of(adjacency.sum(axis=1), -0.5)
    return sp.csr_array(sp.diags_array(scale) @ adjacency @ sp.diags_array(scale), dtype=np.float32)


def row_normalised(graph: sp.csr_array) -> sp.csr_array:
    """T [N, N]: S with rows that sum to one.

    Args:
        graph: S.
    """
    return sp.csr_array(sp.diags_array(power_of(graph.sum(axis=1), -1.0)) @ graph, dtype=np.float32)


def power_of(sums: NDArray[np.floating], exponent: float) -> NDArray[np.float64]:
    """Elementwise power, 0 where the sum is 0.

    Args:
        sums: sums of rows.
        exponent: the power.
    """
    values = np.asarray(sums, np.float64)
    return np.where(values > 0, np.maximum(values, 1e-12) ** exponent, 0.0)


def prior_weights(p: Tensor, graph: sp.csr_array, l2: float, prior: float) -> Tensor:
    """B of :mod:`palate.models.match.ease_content.model`, [N, N]; O(N nnz(S)) time, two more N x N matrices.

    Args:
        p: P, [N, N].
        graph: S, [N, N].
        l2: regularisation.
        prior: b.
    """
    a = torch.from_numpy(np.ascontiguousarray((graph.T @ p.numpy().T).T)) if prior else torch.zeros_like(p)
    a.mul_(prior).sub_(p).mul_(l2)
    a.addcmul_(p, ((1 + a.diagonal()) / p.diagonal())[None, :], value=-1.0)
    a.diagonal().zero_()
    return a


def widened(weights: Tensor, wide: sp.csr_array, amount: float) -> Tensor:
    """(I + a T) B, [N, N].

    Args:
        weights: B.
        wide: T.
        amount: a.
    """
    return weights + amount * torch.from_numpy(wide @ weights.numpy()) if amount else weights
