"""The weighted graph convolution of one modality (MMGCN, Wei et al., ACM MM 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.graph import Graph
from palate.modules.propagate import propagate


class ModalConvolution(nn.Module):
    """Graph convolution of one modality.

    Users start from a preference vector, items from content, both of unit length; then ``layers`` times:
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
        self._constant: _Constant | None = None

    def forward(self, values: Tensor, has: Tensor, ids: Tensor, graph: Graph, rows: Tensor | None = None) -> Tensor:
        """Vectors of nodes, users first.

        Args:
            values: content [n_items, width].
            has: bool [n], False at items without content (their rows do not matter).
            ids: [n, dim].
            graph: row-normalised [n, n] in which items without content send nothing.
            rows: int64 [b], the nodes to compute, all by default; the last layer is computed on them alone.

        Returns:
            [n, dim] or [b, dim].
        """
        h, x = self._first_layer(values, has, graph)
        complete = bool(has.all())
        for layer, (convolve, own, mix) in enumerate(self._layers()):
            wanted = rows if layer + 1 == len(self.convolve) else None
            if layer:
                h, x = _at(propagate(graph, x), wanted) @ convolve, own(_at(x, wanted))
            else:
                h, x = _at(h, wanted), _at(x, wanted)
            h, x = F.leaky_relu(h), F.leaky_relu(x)
            x = (x if complete else x * (has if wanted is None else has[wanted])[:, None]) + _at(ids, wanted)
            # a linear layer on [h; x], without joining them
            left, right = mix.weight.split([h.shape[1], x.shape[1]], 1)
            x = F.leaky_relu(F.linear(h, left, mix.bias) + F.linear(x, right))
        return x

    def from_content(self, values: Tensor) -> Tensor:
        """Vectors [b, dim] of items without neighbours and ID, from their content [b, width] alone."""
        x = F.normalize(values if self.first is None else self.first(values), dim=1)
        for _, own, mix in self._layers():
            x = F.leaky_relu(own(x))
            x = F.leaky_relu(F.linear(x, mix.weight[:, -x.shape[1] :], mix.bias))
        return x

    def _layers(self) -> Iterator[tuple[Tensor, nn.Linear, nn.Linear]]:
        for convolve, own, mix in zip(self.convolve, self.own, self.mix):
            if isinstance(own, nn.Linear) and isinstance(mix, nn.Linear):
                yield convolve, own, mix

    def _first_layer(self, values: Tensor, has: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """``mean W`` [n, start] and ``V x`` [n, dim] of the first layer."""
        convolve, own, _ = next(self._layers())
        constant = self._constants(values, has, graph)
        users, to_items = constant.users, constant.to_items
        if users is None or to_items is None:
            users = F.normalize(self.preference, dim=1)
            to_items = propagate(constant.item_rows, users)
        if self.first is None:
            h, x = constant.to_users @ convolve, own(constant.content)
        else:
            # items are unit(c M): with M folded into the matrices that follow, all is done in the width of content
            basis = torch.cat([self.first.weight.T, self.first.bias[None]])
            squares = (constant.content @ (basis @ basis.T) * constant.content).sum(1, keepdim=True)
            unit = constant.content * squares.clamp_min(1e-24).rsqrt()
            h = propagate(constant.user_rows, unit) @ (basis @ convolve)
            x = F.linear(unit, own.weight @ basis.T, own.bias)
        return torch.cat([h, to_items @ convolve]), torch.cat([own(users), x])

    def _constants(self, values: Tensor, has: Tensor, graph: Graph) -> _Constant:
        """Results that do not change from step to step, as long as content does not."""
        constant = self._constant
        if constant is None or constant.graph is not graph or constant.values is not values:
            n, present = len(self.preference), has[len(self.preference) :, None]
            content = torch.where(present, values, values.new_zeros(()))
            if self.first is None:
                content = F.normalize(content, dim=1)
            else:
                content = torch.cat([content, present.to(content.dtype)], 1)
            user_rows, item_rows = _blocks(graph, n)
            constant = _Constant(graph, values, content, user_rows, item_rows, propagate(user_rows, content))
            if not self.preference.requires_grad:
                constant.users = F.normalize(self.preference, dim=1)
                constant.to_items = propagate(item_rows, constant.users)
            self._constant = constant
        return constant


@dataclass(eq=False)
class _Constant:
    """Content (unit, or with a column of ones), the graph's two blocks, and their products with constants."""

    graph: Graph
    values: Tensor
    content: Tensor
    user_rows: Graph
    item_rows: Graph
    to_users: Tensor
    users: Tensor | None = None
    to_items: Tensor | None = None


def _blocks(graph: Graph, n_users: int) -> tuple[Graph, Graph]:
    """Users from items, and items from users."""
    split, n_items = int(graph.indptr[n_users]), graph.shape[0] - n_users
    upper, lower = slice(None, split), slice(split, None)
    users = Graph(graph.indptr[: n_users + 1], graph.indices[upper] - n_users, graph.weights[upper], n_items)
    items = Graph(graph.indptr[n_users:] - split, graph.indices[lower], graph.weights[lower], n_users)
    return users, items


def _at(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else F.embedding(rows, x)
