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
        self._constant: _Constant | None = None

    def forward(self, values: Tensor, has: Tensor, ids: Tensor, graph: Graph, rows: Tensor | None = None) -> Tensor:
        """All nodes, users first, [n, dim], or ``rows`` of them.

        Args:
            values: content [n_items, width]. has: bool [n], False at items without it (their rows do not matter).
            ids: [n, dim]. graph: row-normalised [n, n] in which items without content send nothing.
            rows: int64 [b], nodes that are asked for; the last layer is computed on them alone.
        """
        h, x = self._enter(values, has, graph)
        whole = bool(has.all())
        for place, (convolve, own, mix) in enumerate(self._layers()):
            asked = rows if place + 1 == len(self.convolve) else None
            if place:
                h, x = _at(propagate(graph, x), asked) @ convolve, own(_at(x, asked))
            else:
                h, x = _at(h, asked), _at(x, asked)
            h, x = F.leaky_relu(h), F.leaky_relu(x)
            x = (x if whole else x * (has if asked is None else has[asked])[:, None]) + _at(ids, asked)
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

    def _enter(self, values: Tensor, has: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """``mean W`` [n, start] and ``V x`` [n, dim] of the first layer."""
        convolve, own, _ = next(self._layers())
        known = self._known(values, has, graph)
        users, to_items = known.users, known.to_items
        if users is None or to_items is None:
            users = F.normalize(self.preference, dim=1)
            to_items = propagate(known.item_rows, users)
        if self.first is None:
            h, x = known.to_users @ convolve, own(known.content)
        else:
            # items are unit(c M): with M folded into the matrices that follow, all is done in the width of content
            basis = torch.cat([self.first.weight.T, self.first.bias[None]])
            squares = (known.content @ (basis @ basis.T) * known.content).sum(1, keepdim=True)
            unit = known.content * squares.clamp_min(1e-24).rsqrt()
            h = propagate(known.user_rows, unit) @ (basis @ convolve)
            x = F.linear(unit, own.weight @ basis.T, own.bias)
        return torch.cat([h, to_items @ convolve]), torch.cat([own(users), x])

    def _known(self, values: Tensor, has: Tensor, graph: Graph) -> _Constant:
        """What does not change from step to step, as long as content does not."""
        known = self._constant
        if known is None or known.graph is not graph or known.values is not values:
            n, present = len(self.preference), has[len(self.preference) :, None]
            content = torch.where(present, values, values.new_zeros(()))
            if self.first is None:
                content = F.normalize(content, dim=1)
            else:
                content = torch.cat([content, present.to(content.dtype)], 1)
            user_rows, item_rows = _blocks(graph, n)
            known = _Constant(graph, values, content, user_rows, item_rows, propagate(user_rows, content))
            if not self.preference.requires_grad:
                known.users = F.normalize(self.preference, dim=1)
                known.to_items = propagate(item_rows, known.users)
            self._constant = known
        return known


@dataclass(eq=False)
class _Constant:
    """Content (unit, or with a column of ones), the graph's two blocks, and what they make of constants."""

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
