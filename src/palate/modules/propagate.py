"""Message passing without weights: one fast sparse product, and LightGCN's stack of it."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import ConfigError, DataError
from palate.modules.graph import Graph

Reduce = Literal["mean", "sum", "last"]


def propagate(graph: Graph, x: Tensor) -> Tensor:
    """Run one step of message passing, ``A x``.

    Args:
        graph: A [n_rows, n_cols]; weights are constants, no gradient flows to them.
        x: [n_cols, d], any float dtype, any device.

    Returns:
        [n_rows, d]; rows without edges are zero.

    Raises:
        DataError: ``x`` has another number of rows than the graph has columns.
    """
    _fits(graph, x)
    return _polynomial(graph, x, 1, 1)


def light_propagate(graph: Graph, x: Tensor, layers: int, reduce: Reduce = "mean", include_zero: bool = True) -> Tensor:
    """LightGCN's encoder (He et al., SIGIR 2020): ``x_l = A x_(l-1)``, then a reduction over layers.

    Args:
        graph: square A [n, n].
        x: layer 0, [n, d].
        layers: number of propagations, at least 0.
        reduce: ``mean`` or ``sum`` over layers, or the ``last`` one only.
        include_zero: whether layer 0 takes part in ``mean`` and ``sum``.

    Returns:
        [n, d].

    Raises:
        ConfigError: no layer is left to reduce over.
        DataError: the graph is not square, or ``x`` does not fit it.
    """
    if layers < 0 or (layers == 0 and not include_zero and reduce != "last"):
        raise ConfigError("no layer is left to reduce over", key="layers", hint="use at least one layer")
    _fits(graph, x)
    if graph.shape[0] != graph.shape[1]:
        raise DataError(f"only a square graph can be propagated over repeatedly, this is {graph!r}")
    first = layers if reduce == "last" else int(not include_zero)
    total = _polynomial(graph, x, first, layers)
    return total / (layers - first + 1) if reduce == "mean" else total


class _Polynomial(torch.autograd.Function):
    """``sum_(l = first..last) A^l x``.

    Its adjoint is the same polynomial of ``A.T``, so no layer is kept for the backward pass, and derivatives of every
    order are the same code.
    """

    @staticmethod
    def forward(ctx: Any, graph: Graph, x: Tensor, first: int, last: int) -> Tensor:
        ctx.graph, ctx.first, ctx.last = graph, first, last
        local = graph.on(x.device, x.dtype)
        x = x.contiguous()
        total = x
        for _ in range(last - first):  # Horner's rule: one sum in place for each layer
            total = _product(local, total).add_(x)
        for _ in range(first):
            total = _product(local, total)
        return total.clone() if total is x else total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None, None]:
        return None, _polynomial(ctx.graph.transpose, grad, ctx.first, ctx.last), None, None


def _polynomial(graph: Graph, x: Tensor, first: int, last: int) -> Tensor:
    out: Tensor = _Polynomial.apply(graph, x, first, last)
    return out


def _product(graph: Graph, x: Tensor) -> Tensor:
    # an embedding bag sums the rows it gathers in registers: 3-9x faster than torch's sparse products on a CPU
    return F.embedding_bag(
        graph.indices, x, graph.indptr, mode="sum", per_sample_weights=graph.weights, include_last_offset=True
    )


def _fits(graph: Graph, x: Tensor) -> None:
    if x.ndim != 2 or x.shape[0] != graph.shape[1]:
        raise DataError(f"{graph!r} cannot propagate a tensor of shape {tuple(x.shape)}")
