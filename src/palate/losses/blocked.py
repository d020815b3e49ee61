"""Losses whose sum runs over a whole catalogue, computed block by block."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import DataError


def sum_log_partition(a: Tensor, b: Tensor, weight: Tensor, bound: float, block: int = 32) -> Tensor:
    """``sum_i weight_i log sum_j exp(a_i . b_j)``, exactly, in one pass with O(block x N) memory.

    The denominators of InfoNCE over all users or all items (LGMRec). Rank helps: where vectors are combinations of a
    few latent rows, give the coefficients (``a`` multiplied by the latents' Gram matrix) in place of the vectors.

    Data: a catalogue whose vectors fit in memory, but not their products.
    Relations: :func:`palate.losses.contrastive.info_nce` with all nodes as ``candidates``, which holds [B, N] products.

    Args:
        a: anchors [B, r].
        b: candidates [N, r].
        weight: of each anchor [B], constant; an anchor that occurs several times is best given once.
        bound: no product may exceed it (``1 / tau`` for cosines); taken out before ``exp`` so that nothing overflows.
            Products far below it (more than 80) underflow to no contribution.
        block: anchors compared at a time.

    Returns:
        A scalar, with gradients to ``a`` and ``b``; they are computed on the way, so no exponential is taken twice.

    Raises:
        DataError: the shapes do not fit, or there are no candidates.

    Examples:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.eye(2)
        >>> round(float(sum_log_partition(a, b, torch.ones(1), bound=1.0)), 4)  # ln(e + 1)
        1.3133
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or len(weight) != len(a) or not len(b):
        raise DataError(f"anchors of shape {tuple(a.shape)} cannot be compared with candidates {tuple(b.shape)}")
    out: Tensor = _SumLogPartition.apply(a, b, weight.to(a.dtype), bound, block)
    return out


def factored_info_nce(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], rows: Tensor, among: Tensor, tau: float
) -> Tensor:
    """Sum over ``rows`` of InfoNCE between two views of an entity; the candidates are all nodes ``among``.

    Vectors are ``coefficients @ latent`` with few latents, so cosines are products of as few numbers as there are
    latents (LGMRec: hyperedges).

    Data: nodes of a graph with two modalities.
    Relations: the mean form over plain vectors is :func:`palate.losses.contrastive.info_nce`.

    Args:
        first: (coefficients [n, h], latent [h, d]) of the anchors.
        second: likewise, of the candidates.
        rows: int64 [B], repeats count.
        among: bool [n], nodes that have both modalities.
        tau: temperature.

    Returns:
        A scalar; 0 where none of ``rows`` has both modalities.

    Examples:
        >>> view = torch.eye(2), torch.eye(2)
        >>> every = torch.tensor([True, True])
        >>> round(float(factored_info_nce(view, view, torch.tensor([0]), every, tau=1.0)), 4)  # ln(e + 1) - 1
        0.3133
    """
    (coef_a, latent_a), (coef_b, latent_b) = first, second
    unique, count = rows.unique(return_counts=True)
    unique, count = unique[among[unique]], count[among[unique]]
    candidates = coef_b if bool(among.all()) else coef_b[among]
    if not len(unique):
        return coef_a.sum() * 0
    a, b = F.embedding(unique, coef_a), F.embedding(unique, coef_b)
    a = a / (a @ latent_a).norm(dim=1, keepdim=True).clamp_min(1e-12) @ (latent_a @ latent_b.T) / tau
    b = b / (b @ latent_b).norm(dim=1, keepdim=True).clamp_min(1e-12)
    candidates = candidates / (candidates @ latent_b).norm(dim=1, keepdim=True).clamp_min(1e-12)
    matching: Tensor = count.to(a.dtype) @ (a * b).sum(1)
    return sum_log_partition(a, candidates, count, 1 / tau) - matching


class _SumLogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor, bound: float, block: int) -> Tensor:
        # one more column lets the product subtract the bound; candidates lie along rows, which small ranks like best
        left = torch.cat([a, a.new_ones(len(a), 1)], 1)
        right = torch.cat([b, b.new_full((len(b), 1), -bound)], 1).T.contiguous()
        values = torch.cat([b.T, b.new_ones(1, len(b))])
        to_a, to_b, total = torch.empty_like(a), torch.zeros_like(values[:-1]), a.new_zeros(())
        for start in range(0, len(a), block):
            rows = slice(start, start + block)
            share = (left[rows] @ right).exp_()
            sums = values @ share.T
            mass, per_mass = sums[-1], weight[rows] / sums[-1]
            total += weight[rows] @ (mass.log() + bound)
            to_a[rows] = (sums[:-1] * per_mass).T
            to_b.addmm_((a[rows] * per_mass[:, None]).T.contiguous(), share)
        ctx.save_for_backward(to_a, to_b)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        to_a, to_b = ctx.saved_tensors
        return grad * to_a, grad * to_b.T, None, None, None
