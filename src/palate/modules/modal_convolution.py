"""The weighted graph convolution of one modality (MMGCN, Wei et al., ACM MM 2019)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .graph import Graph
from .propagate import propagate


class ModalConvolution(nn.Module):
    """Users start from a preference vector, items from content, both of unit length; then ``layers`` times:

    h = leaky(mean over neighbours of x W), x^ = leaky(V x) + id, x = leaky(G [h; x^]).

    Args:
        n_users: number of users.
        width: of the content.
        first: width that content is first mapped to; None takes it as it is.
        dim: width of the results.
        layers: number of layers.
        learn: train the preferences; otherwise they keep their random start.
    """

    def __init__(self, n_users: int, width: int, first: int | None, dim: int, layers: int, learn: bool) -> None:
        super().__init__()
        self.first = None if first is None else nn.Linear(width, first)
        start = width if first is None else first
        self.preference = nn.Parameter(nn.init.xavier_normal_(torch.empty(n_users, start)), requires_grad=learn)
        sizes = [start] + [dim] * (layers - 1)
        self.convolve = nn.ParameterList(nn.init.xavier_normal_(torch.empty(size, size)) for size in sizes)
        own, mix = [nn.Linear(size, dim) for size in sizes], [nn.Linear(size + dim, dim) for size in sizes]
        for layer in (*own, mix[0]):
            nn.init.xavier_normal_(layer.weight)
        self.own, self.mix = nn.ModuleList(own), nn.ModuleList(mix)
        self._constant: tuple[Graph, Tensor, Tensor] | None = None

    def forward(self, values: Tensor, has: Tensor, ids: Tensor, graph: Graph) -> Tensor:
        """All nodes, users first, [n, dim].

        Args:
            values: content [n_items, width]. has: bool [n], False at items without it (their rows do not matter).
            ids: [n, dim]. graph: row-normalised [n, n] in which items without content send nothing.
        """
        x, mean = self._start(values, has, graph)
        for place, (convolve, own, mix) in enumerate(self._layers()):
            mean = propagate(graph, x) if place else mean
            h = F.leaky_relu(mean @ convolve)
            x = F.leaky_relu(own(x))
            x = (x if bool(has.all()) else x * has[:, None]) + ids
            # a linear layer on [h; x], without joining them
            left, right = mix.weight.split([h.shape[1], x.shape[1]], 1)
            x = F.leaky_relu(F.linear(h, left, mix.bias) + F.linear(x, right))
        return x

    def alone(self, values: Tensor) -> Tensor:
        """Items without neighbours and ID, from their content [b, width] alone: [b, dim]."""
        x = F.normalize(values if self.first is None else self.first(values), dim=1)
        for _, own, mix in self._layers():
            x = F.leaky_relu(own(x))
            x = F.leaky_relu(F.linear(x, mix.weight[:, -x.shape[1] :], mix.bias))
        return x

    def _layers(self) -> Iterator[tuple[Tensor, nn.Linear, nn.Linear]]:
        for convolve, own, mix in zip(self.convolve, self.own, self.mix):
            if isinstance(own, nn.Linear) and isinstance(mix, nn.Linear):
                yield convolve, own, mix

    def _start(self, values: Tensor, has: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Unit input of all nodes and the mean over neighbours; constants are computed once."""
        frozen = not self.preference.requires_grad and self.first is None
        if frozen and self._constant is not None and self._constant[0] is graph:
            return self._constant[1:]
        content = values if self.first is None else self.first(values)
        items = F.normalize(torch.where(has[-len(values) :, None], content, content.new_zeros(())), dim=1)
        x = torch.cat([F.normalize(self.preference, dim=1), items])
        mean = propagate(graph, x)
        if frozen:
            self._constant = (graph, x, mean)
        return x, mean
