"""Optimal transport between two sets of tokens: how well the words of a text cover the regions of a picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import DataError


def transport_distance(
    a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor, *, beta: float = 0.5, steps: int = 50
) -> Tensor:
    """``min_T <T, C>`` with ``C_ij = 1 - cos(a_i, b_j)`` and uniform marginals (UNITER, ECCV 2020).

    Data: tokens of two modalities of one entity.
    Relations: the plan is held constant, gradients flow through the costs alone; with one token in each set it is a
    cosine distance.

    Args:
        a: tokens [B, n, d].
        b: tokens [B, m, d].
        mask_a: bool [B, n], tokens that are present.
        mask_b: bool [B, m], likewise; a row without tokens in one of the sets costs 0.
        beta: of :func:`ipot`.
        steps: of :func:`ipot`.

    Returns:
        float32 [B].

    Raises:
        DataError: the shapes do not fit.

    Examples:
        >>> a = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> every = torch.ones(1, 2, dtype=torch.bool)
        >>> distance = transport_distance(a, a.flip(1), every, every)  # the same tokens in another order
        >>> bool(distance < 1e-3)
        True
    """
    if a.ndim != 3 or b.ndim != 3 or a.shape[::2] != b.shape[::2]:
        raise DataError(f"tokens need shapes [B, n, d] and [B, m, d], got {tuple(a.shape)} and {tuple(b.shape)}")
    cost = 1 - F.normalize(a, dim=2) @ F.normalize(b, dim=2).transpose(1, 2)
    with torch.no_grad():
        plan = ipot(cost, mask_a, mask_b, beta, steps)
    return (plan * cost).sum((1, 2))


def ipot(cost: Tensor, mask_a: Tensor, mask_b: Tensor, beta: float = 0.5, steps: int = 50) -> Tensor:
    """Compute transport plans by inexact proximal point iterations (IPOT, Xie et al., UAI 2019).

    Every step is one Sinkhorn scaling of ``exp(-C / beta) * T``; unlike Sinkhorn's, its limit is the exact plan
    whatever ``beta`` is.

    Args:
        cost: [B, n, m].
        mask_a: bool [B, n].
        mask_b: bool [B, m].
        beta: the larger, the smaller a step.
        steps: number of steps; time O(steps * B * n * m).

    Returns:
        float32 [B, n, m].

    Examples:
        >>> cost = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> every = torch.ones(1, 2, dtype=torch.bool)
        >>> ipot(cost, every, every).round(decimals=2).tolist()
        [[[0.5, 0.0], [0.0, 0.5]]]
    """
    both = (mask_a[:, :, None] & mask_b[:, None, :]).to(cost.dtype)
    rows, columns = (x.to(cost.dtype) / x.sum(1, keepdim=True).clamp(min=1) for x in (mask_a, mask_b))
    kernel = torch.exp(-cost / beta) * both
    plan, right = both, columns
    for _ in range(steps):
        scaled = kernel * plan
        left = _ratio(rows, (scaled @ right[:, :, None])[:, :, 0])
        right = _ratio(columns, (left[:, None, :] @ scaled)[:, 0])
        plan = left[:, :, None] * scaled * right[:, None, :]
    return plan


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``, 0 where ``below`` is."""
    return torch.where(below > 0, above / below.clamp(min=torch.finfo(below.dtype).tiny), 0.0)
