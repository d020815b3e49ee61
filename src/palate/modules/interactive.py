"""Two streams that attend to each other, and an item's vector from states before and after interaction (K3M)."""

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
    """Tokens of one modality attend to another's, then a feed-forward net (ViLBERT, Lu et al., NeurIPS 2019).

    Args:
        dim: width, a multiple of ``heads``.
        heads: number of heads.
        dropout: while training.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.own, self.other = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.net = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tokens | None) -> Tensor:
        """States of ``x`` after attention to ``y``.

        Args:
            x: [B, n, d].
            y: tokens of the other modality; a row whose tokens are all masked adds nothing.

        Returns:
            [B, n, d].
        """
        if y is not None:
            values, mask = y
            has_any = mask.any(1)
            # a row without any token would attend to nothing, which is NaN
            allowed = (mask | ~has_any[:, None])[:, None].expand(-1, x.shape[1], -1)
            attended = self.attention(self.own(x), self.other(values), allowed)
            x = x + torch.where(has_any[:, None, None], self.drop(attended), 0)
        out: Tensor = x + self.drop(self.net(x))
        return out


class AttentionPooling(nn.Module):
    """Weighted sum of the present vectors, with weights by softmax of ``q tanh(W x)``.

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Pool vectors.

        Args:
            x: [B, k, d].
            present: bool [B, k].

        Returns:
            [B, d], 0 for a row without vectors.
        """
        weights = self.score(x)[:, :, 0].masked_fill(~present, torch.finfo(x.dtype).min).softmax(1) * present
        out: Tensor = (weights[:, :, None] * x).sum(1)
        return out


def initial_interactive(
    before: Sequence[Tokens], after: Sequence[Tokens], weighed: AttentionPooling, fusion: Fusion
) -> Tensor:
    """One vector of an item: attention over the means of each modality before and after interaction.

    The states before interaction take part next to those after it, so that a wrong or missing partner can be ignored
    (initial-interactive feature fusion, Zhu et al., ACM MM 2021).

    Args:
        before: tokens of each modality before interaction.
        after: tokens of each modality after interaction.
        weighed: the pooling.
        fusion: ``both``, or the states of one kind alone.

    Returns:
        [B, d].
    """
    parts = [*(before if fusion != "interactive" else ()), *(after if fusion != "initial" else ())]
    present = torch.stack([mask.any(1) for _, mask in parts], 1)
    out: Tensor = weighed(torch.stack([pooled(part) for part in parts], 1), present)
    return out


@towers.register("interactive")
class InteractiveTower(nn.Module):
    """One modality's stream: a reader, its own Transformer, and co-attention, which reads nothing here.

    Args:
        reader: arguments of :func:`palate.modules.towers.make_tower` for the tower that makes the tokens.
        dim: width of the Transformer.
        layers: of the Transformer.
        heads: of the Transformer.
        fusion: see :func:`initial_interactive`; ``both`` is the method's.
    """

    def __init__(self, reader: Mapping[str, Any], dim: int, layers: int, heads: int, fusion: Fusion = "both") -> None:
        super().__init__()
        self.fusion: Fusion = fusion
        self.reader = make_tower(**reader)
        self.stream = SingleStream(dim, layers, heads)
        self.meet, self.weighed = CoAttention(dim, heads), AttentionPooling(dim)

    def forward(self, inputs: Tensor) -> Tokens:
        """One token [B, 1, d] and its mask."""
        tokens: Tokens = self.reader(inputs)
        before = self.stream([tokens])[0], tokens[1]
        after = self.meet(before[0], None), tokens[1]
        vector = initial_interactive([before], [after], self.weighed, self.fusion)
        return vector[:, None], tokens[1].any(1, keepdim=True)
