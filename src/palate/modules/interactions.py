"""Feature interactions of click models: from embeddings of fields [n, fields, dim] to logits or vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def multilayer(
    width: int,
    hidden: Sequence[int],
    dropout: float = 0.0,
    out: int | None = 1,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Linear layers with activations and dropout between them.

    Args:
        width: of the input.
        hidden: widths of the hidden layers.
        dropout: after each hidden layer.
        out: width of a last linear layer; None ends with the last hidden layer.
        activation: class of the activations.
    """
    layers: list[nn.Module] = []
    widths = [width, *hidden]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation(), nn.Dropout(dropout)]
    if out is not None:
        layers.append(nn.Linear(widths[-1], out))
    return nn.Sequential(*layers)


def factorised_pairs(slots: Tensor) -> Tensor:
    """Sum over pairs i < j of <v_i, v_j>, float32 [n]; O(fields dim) (Rendle, ICDM 2010).

    Args:
        slots: float32 [n, fields, dim].
    """
    total = slots.sum(1)
    return 0.5 * (total.square() - slots.square().sum(1)).sum(1)


class Products(nn.Module):
    """Products of pairs of fields, as PNN takes them (Qu et al., ICDM 2016).

    Args:
        fields: number of fields.
        outer: sums of outer products seen through a matrix for each pair; else inner products.
        dim: width of an embedding.
    """

    def __init__(self, fields: int, outer: bool, dim: int) -> None:
        super().__init__()
        left, right = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        self.kernel = nn.Parameter(torch.randn(len(left), dim, dim) * dim**-0.5) if outer else None
        self.width = len(left)

    def forward(self, slots: Tensor) -> Tensor:
        """Products float32 [n, pairs].

        Args:
            slots: float32 [n, fields, dim].
        """
        if self.kernel is None:
            gram = slots @ slots.transpose(1, 2)
            return gram[:, self.get_buffer("left"), self.get_buffer("right")]
        p, q = slots[:, self.get_buffer("left")], slots[:, self.get_buffer("right")]
        return torch.einsum("npd,pde,npe->np", p, self.kernel, q)


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l (Wang et al., DCN V2, WWW 2021); W_l = U_l V_l^T where ``rank`` is given.

    Args:
        width: of x.
        layers: number of crosses; the degree of the polynomial is one more.
        rank: of each matrix; None keeps it full.
    """

    def __init__(self, width: int, layers: int, rank: int | None = None) -> None:
        super().__init__()

        def weight() -> nn.Module:
            if rank is None:
                return nn.Linear(width, width)
            return nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))

        self.layers = nn.ModuleList(weight() for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Crossed input float32 [n, width].

        Args:
            x: float32 [n, width].
        """
        start = x
        for layer in self.layers:
            x = start * layer(x) + x
        return x


class GatedCross(nn.Module):
    """One of FCN's two cross networks (Li et al., DCNv3, arXiv 2407.13349): half of each layer is a mask.

    c_l = W_l x_l + b_l with half the width of x_l, its mask is relu(LayerNorm(c_l)), and
    x_{l+1} = x_l * [c_l ; c_l * mask] + x_l. The exponential network crosses x_l with itself (the degree doubles with
    each layer), the linear one with x_1 (the degree grows by one).

    Args:
        width: of x, even.
        layers: number of crosses.
        exponential: cross with the running x instead of the first.
        dropout: after each layer.
    """

    def __init__(self, width: int, layers: int, exponential: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.exponential = exponential
        self.weights = nn.ModuleList(nn.Linear(width, width // 2) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width // 2) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits float32 [n].

        Args:
            x: float32 [n, width].
        """
        first = x
        for weight, norm in zip(self.weights, self.norms):
            half = weight(x)
            gated = torch.cat([half, half * norm(half).relu()], -1)
            x = self.dropout((x if self.exponential else first) * gated + x)
        logits: Tensor = self.score(x)[:, 0]
        return logits
