"""Two streams that read each other, and an item's vector from what they knew before and after (K3M)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from palate.modules.attention import Attention
from palate.modules.stream import SingleStream
from palate.modules.towers import Tokens, make_tower, pooled, towers

Fusion = Literal["both", "initial", "interactive"]


class CoAttention(nn.Module):
    """Tokens of one modality read those of another, then a feed-forward net (ViLBERT, Lu et al., NeurIPS 2019).

    Args:
        dim, heads: sizes; ``dim`` is a multiple of ``heads``. dropout: while training.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.own, self.other = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.net = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tokens | None) -> Tensor:
        """States [B, n, d]; rows whose partner ``y`` has no token that is there read nothing."""
        if y is not None:
            values, there = y
            any_ = there.any(1)
            # a row without any token would attend to nothing, which is NaN
            allowed = (there | ~any_[:, None])[:, None].expand(-1, x.shape[1], -1)
            read = self.attention(self.own(x), self.other(values), allowed)
            x = x + torch.where(any_[:, None, None], self.drop(read), 0)
        out: Tensor = x + self.drop(self.net(x))
        return out


class Weighed(nn.Module):
    """A sum of vectors [B, k, d] that are there, weighed by softmax of ``q tanh(W x)``: [B, d], 0 if none is there.

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        weights = self.score(x)[:, :, 0].masked_fill(~there, torch.finfo(x.dtype).min).softmax(1) * there
        out: Tensor = (weights[:, :, None] * x).sum(1)
        return out


def initial_interactive(before: Sequence[Tokens], after: Sequence[Tokens], weighed: Weighed, fusion: Fusion) -> Tensor:
    """One vector of an item [B, d]: the means of each modality before and after interaction, weighed.

    What a modality says by itself is kept beside what it says after it read the other, so that a wrong or missing
    partner can be left aside (initial-interactive feature fusion, Zhu et al., ACM MM 2021).
    """
    parts = [*(before if fusion != "interactive" else ()), *(after if fusion != "initial" else ())]
    there = torch.stack([mask.any(1) for _, mask in parts], 1)
    found: Tensor = weighed(torch.stack([pooled(part) for part in parts], 1), there)
    return found


@towers.register("interactive")
class Interactive(nn.Module):
    """One modality's side: a reader, a Transformer of its own, and what reads the other side; alone, it reads nothing.

    Args:
        reader: arguments of :func:`palate.modules.towers.make_tower` for what makes the tokens.
        dim, layers, heads: of the Transformer. fusion: see :func:`initial_interactive`; ``both`` is the method's.
    """

    def __init__(self, reader: Mapping[str, Any], dim: int, layers: int, heads: int, fusion: Fusion = "both") -> None:
        super().__init__()
        self.fusion: Fusion = fusion
        self.reader = make_tower(**reader)
        self.stream = SingleStream(dim, layers, heads)
        self.meet, self.weighed = CoAttention(dim, heads), Weighed(dim)

    def forward(self, inputs: Tensor) -> Tokens:
        read: Tokens = self.reader(inputs)
        before = self.stream([read])[0], read[1]
        after = self.meet(before[0], None), read[1]
        found = initial_interactive([before], [after], self.weighed, self.fusion)
        return found[:, None], read[1].any(1, keepdim=True)
