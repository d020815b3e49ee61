"""One Transformer over the tokens of several modalities (single stream), and the embedding of its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palate.modules.towers import PAD, State, Tokens, clip_oov, make_tower, run_tower, towers


@towers.register("words")
class TokenEmbedding(nn.Module):
    """``LN(word + position)`` of token ids [B, T], padded with ``PAD``.

    Args:
        vocabulary: number of ids.
        dim: width.
        length: largest number of positions.
    """

    def __init__(self, vocabulary: int, dim: int, length: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.places = nn.Parameter(torch.zeros(length, dim))
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places, std=0.02)

    def forward(self, ids: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        ids = ids.long()
        return self.norm(self.words(clip_oov(ids, self.words)) + self.places[: ids.shape[1]]), ids != PAD


@towers.register("stream")
class SingleModalityStream(nn.Module):
    """A single stream over one modality alone, for use where only that modality is present.

    Args:
        reader: arguments of :func:`palate.modules.towers.make_tower` for the tower that makes the tokens.
        dim: width of the stream.
        layers: of the stream.
        heads: of the stream.
    """

    def __init__(self, reader: Mapping[str, Any], dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.reader = make_tower(**reader)
        self.stream = SingleStream(dim, layers, heads)

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, inputs)

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return list(self.reader.parameters())

    def blocks(self) -> list[nn.Module]:
        return list(self.stream.layers.layers)

    def embed(self, inputs: Tensor) -> State:
        state: State = self.reader(inputs)
        return state

    def apply_block(self, index: int, state: State) -> State:
        values, mask = state
        assert mask is not None
        return self.stream.layers.layers[index](values, src_key_padding_mask=~unmask_empty_rows(mask)), mask

    def finalize(self, state: State) -> Tokens:
        values, mask = state
        assert mask is not None
        return self.stream.norm(values), mask


class SingleStream(nn.Module):
    """A pre-norm Transformer in which every token attends to every present token, of any modality.

    Args:
        dim: width.
        layers: number of layers.
        heads: of the attention.
        dropout: while training.
    """

    def __init__(self, dim: int, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, parts: Sequence[Tokens]) -> list[Tensor]:
        """States [B, T_i, d] of each part's tokens; masked tokens change nothing."""
        tokens = torch.cat([values for values, _ in parts], 1)
        mask = unmask_empty_rows(torch.cat([mask for _, mask in parts], 1))
        states = self.norm(self.layers(tokens, src_key_padding_mask=~mask))
        return list(states.split([values.shape[1] for values, _ in parts], 1))


def unmask_empty_rows(mask: Tensor) -> Tensor:
    """``mask`` bool [B, T] with the first token of empty rows unmasked: attention to nothing is NaN."""
    unmasked = mask.clone()
    unmasked[:, 0] |= ~unmasked.any(1)
    return unmasked


class WordHead(nn.Module):
    """States [..., d] to logits over words: a small transform, then the table of input words itself (tied), and a bias.

    Args:
        dim: width.
        vocabulary: number of ids.
    """

    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """Logits of each word.

        Args:
            states: [..., d].
            words: table [vocabulary or more, d].

        Returns:
            [..., vocabulary].
        """
        logits: Tensor = self.transform(states) @ words[: len(self.bias)].T + self.bias
        return logits
