"""Two towers and a joint layer on top: a text and a picture compared by vectors, and read together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.stream import SingleStream, WordHead
from palate.modules.towers import TextTower, Tokens, pooled


class PairReader(nn.Module):
    """Vectors of a text and of a picture, logits that they match, and logits of hidden words.

    Args:
        towers: for ``text`` and ``image``, ``tower`` (inputs to tokens) and ``head`` (token width to vectors).
        dim: width of tokens.
        heads: of the fusion.
        vocabulary: number of token ids.
    """

    def __init__(self, towers: Mapping[str, nn.ModuleDict], dim: int, heads: int, vocabulary: int) -> None:
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        self.fusion, self.match = SingleStream(dim, 1, heads), nn.Linear(dim, 1)
        self.guess = WordHead(dim, vocabulary)

    def part(self, modality: str) -> nn.ModuleDict:
        """``tower`` and ``head`` of a modality."""
        return cast(nn.ModuleDict, self.towers[modality])

    def read(self, modality: str, inputs: Tensor) -> Tokens:
        """Tokens of one modality."""
        tokens: Tokens = self.part(modality)["tower"](inputs)
        return tokens

    def vector(self, modality: str, tokens: Tokens) -> Tensor:
        """Unit vectors [B, width]."""
        return F.normalize(self.part(modality)["head"](pooled(tokens)), dim=1)

    def match_logits(self, words: Tokens, regions: Tokens) -> Tensor:
        """Logits [B] that a picture matches a text, from the state of the text's first token."""
        logits: Tensor = self.match(self.fusion([words, regions])[0][:, 0])
        return logits[:, 0]

    def word_logits(self, words: Tokens, regions: Tokens) -> Tensor:
        """Logits [B, T, vocabulary] of the text's words."""
        table = cast(TextTower, self.part("text")["tower"]).words.weight
        logits: Tensor = self.guess(self.fusion([words, regions])[0], table)
        return logits


def take_tokens(tokens: Tokens, rows: Tensor) -> Tokens:
    """Tokens of these rows, in that order."""
    return tokens[0][rows], tokens[1][rows]


def sample_pairs(allowed: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Draw at most ``limit`` of the allowed columns of every row, uniformly; from torch's global generator.

    Args:
        allowed: bool [B, C].
        limit: columns a row.

    Returns:
        Rows and columns, int64 [p] each.
    """
    order = torch.rand(allowed.shape, device=allowed.device).masked_fill(~allowed, -1)
    columns = order.topk(min(limit, allowed.shape[1]), 1).indices
    row, place = allowed.gather(1, columns).nonzero(as_tuple=True)
    return row, columns[row, place]
