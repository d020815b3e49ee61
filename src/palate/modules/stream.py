"""One Transformer over the tokens of several modalities (single stream), and what makes tokens for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palate.modules.towers import PAD, State, Tokens, known, make_tower, through, towers


@towers.register("words")
class Words(nn.Module):
    """``LN(word + position)`` of token ids [B, T], ``PAD`` where there is none.

    Args:
        vocabulary: number of ids. dim: width. length: positions at most.
    """

    def __init__(self, vocabulary: int, dim: int, length: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.places = nn.Parameter(torch.zeros(length, dim))
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places, std=0.02)

    def forward(self, ids: Tensor) -> Tokens:
        ids = ids.long()
        return self.norm(self.words(known(ids, self.words)) + self.places[: ids.shape[1]]), ids != PAD


@towers.register("stream")
class Alone(nn.Module):
    """A single stream over one modality alone: what is left of it when only that modality is at hand.

    Args:
        reader: arguments of :func:`palate.modules.towers.make_tower` for what makes the tokens.
        dim, layers, heads: of the stream.
    """

    def __init__(self, reader: Mapping[str, Any], dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.reader = make_tower(**reader)
        self.stream = SingleStream(dim, layers, heads)

    def forward(self, inputs: Tensor) -> Tokens:
        return through(self, inputs)

    def first(self) -> list[nn.Parameter]:
        return list(self.reader.parameters())

    def blocks(self) -> list[nn.Module]:
        return list(self.stream.layers.layers)

    def start(self, inputs: Tensor) -> State:
        found: State = self.reader(inputs)
        return found

    def step(self, place: int, state: State) -> State:
        values, mask = state
        assert mask is not None
        return self.stream.layers.layers[place](values, src_key_padding_mask=~opened(mask)), mask

    def end(self, state: State) -> Tokens:
        values, mask = state
        assert mask is not None
        return self.stream.norm(values), mask


class SingleStream(nn.Module):
    """A pre-norm Transformer in which every token sees every token that is there, of whatever modality.

    Args:
        dim, layers, heads: sizes. dropout: while training.
    """

    def __init__(self, dim: int, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, parts: Sequence[Tokens]) -> list[Tensor]:
        """States [B, T_i, d] of each part's tokens; those that are not there change nothing."""
        tokens = torch.cat([values for values, _ in parts], 1)
        open_ = opened(torch.cat([mask for _, mask in parts], 1))
        found = self.norm(self.layers(tokens, src_key_padding_mask=~open_))
        return list(found.split([values.shape[1] for values, _ in parts], 1))


def opened(mask: Tensor) -> Tensor:
    """bool [B, T], as ``mask`` but for rows without any token, which would attend to nothing: that is NaN."""
    open_ = mask.clone()
    open_[:, 0] |= ~open_.any(1)
    return open_


class WordHead(nn.Module):
    """States [..., d] to logits over words: a small transform, then the table of input words itself (tied), and a bias.

    Args:
        dim: width. vocabulary: number of ids.
    """

    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """Logits [..., vocabulary] with the table ``words`` [vocabulary or more, d]."""
        found: Tensor = self.transform(states) @ words[: len(self.bias)].T + self.bias
        return found
