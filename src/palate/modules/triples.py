"""Facts of an entity as (property, value): aggregated by attention, and predicted by translation (TransE)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Triples(nn.Module):
    """Embeddings of properties and values.

    Args:
        first: int64 [p + 1]; property j has the values first[j] .. first[j + 1] - 1.
        dim: d.
    """

    first: Tensor
    kind: Tensor

    def __init__(self, first: Tensor, dim: int) -> None:
        super().__init__()
        sizes = first.diff()
        self.register_buffer("first", first)
        self.register_buffer("kind", torch.arange(len(sizes)).repeat_interleave(sizes))
        self.properties, self.values = nn.Embedding(len(sizes), dim), nn.Embedding(int(first[-1]), dim)
        self.join, self.score = nn.Linear(3 * dim, dim), nn.Linear(dim, 1)

    def aggregate(self, items: Tensor, known: Tensor) -> Tensor:
        """``c + sum_j a_j W [c; p_j; v_j]``, a = softmax of a learnt score.

        Args:
            items: c [B, d].
            known: int64 [B, w], values; padded with -1.

        Returns:
            float32 [B, d].
        """
        present, values = known >= 0, known.clamp(min=0)
        if not present.any():
            return items
        parts = [items[:, None].expand(-1, known.shape[1], -1), self.properties(self.kind[values]), self.values(values)]
        joined = self.join(torch.cat(parts, 2))
        logits = F.leaky_relu(self.score(joined)[:, :, 0]).masked_fill(~present, torch.finfo(items.dtype).min)
        weights = logits.softmax(1) * present
        out: Tensor = items + (weights[:, :, None] * joined).sum(1)
        return out

    def hinge(self, items: Tensor, stated: Tensor, queried: Tensor, wrong: int, margin: float) -> Tensor:
        """Mean of ``max(0, margin + |c + p - v| - |c + p - v'|)`` over queried triples and drawn wrong values v'.

        A wrong value belongs to the same property; one that is stated of the item too does not count.

        Args:
            items: c [B, d].
            stated: int64 [B, w], values, padded with -1.
            queried: bool [B, w], triples that the loss is over.
            wrong: values drawn for each triple.
            margin: of the hinge.

        Returns:
            A scalar.
        """
        row, column = queried.nonzero(as_tuple=True)
        truth = stated[row, column]
        kind = self.kind[truth]
        start, size = self.first[kind], self.first[kind + 1] - self.first[kind]
        draws = torch.rand(len(row), wrong, device=items.device)
        other = start[:, None] + (draws * size[:, None]).long().clamp(max=(size - 1)[:, None])
        counts = (other[:, :, None] != stated[row][:, None, :]).all(2)
        translated = items[row] + self.properties(kind)
        near = (translated - self.values(truth)).norm(dim=1)
        far = (translated[:, None] - self.values(other)).norm(dim=2)
        return (F.relu(margin + near[:, None] - far) * counts).sum() / counts.sum().clamp(min=1)

    def ranks(self, items: Tensor, stated: Tensor) -> Tensor:
        """Rank of each stated value among all of its property by ``|c + p - v|``.

        Args:
            items: c [B, d].
            stated: int64 [B, w], values, padded with -1.

        Returns:
            int64 [number stated].
        """
        out = []
        for kind in range(len(self.properties.weight)):
            own = torch.arange(int(self.first[kind]), int(self.first[kind + 1]), device=items.device)
            distance = torch.cdist(items + self.properties.weight[kind], self.values(own))
            row, column = ((stated >= own[0]) & (stated <= own[-1])).nonzero(as_tuple=True)
            truth = distance[row, stated[row, column] - own[0]]
            out.append((distance[row] <= truth[:, None]).sum(1))
        return torch.cat(out)
