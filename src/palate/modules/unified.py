"""Texts, pictures and sounds encoded and decoded by one encoder-decoder over one vocabulary (Unified-IO 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.cells import CellTower, cell_grid, grid_positions
from palate.modules.seq2seq import Decoder, Encoder, PositionedTokens, concat_tokens, decoder_mask
from palate.modules.stream import WordHead
from palate.modules.towers import PAD, UNKNOWN, Tokens, towers

Rotary = Literal["2d", "1d"]


class ModalityEmbedding(nn.Module):
    """Inputs to tokens: words from the one table of all tokens, cells of pictures and sounds from convolutions.

    A vector of its modality is added to each token.

    Args:
        vocabulary: number of all tokens.
        dim: width.
        modalities: all that can be read.
        rotary: positions of cells, (row, column), or twice their number in reading order; words have twice their
            number.
    """

    def __init__(self, vocabulary: int, dim: int, modalities: Sequence[str], rotary: Rotary = "2d") -> None:
        super().__init__()
        self.rotary = rotary
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=0.02)
        self.marks = nn.ParameterDict({m: nn.Parameter(torch.randn(dim) * 0.02) for m in modalities})
        self.cells = nn.ModuleDict({m: CellTower(dim) for m in modalities if m != "text"})
        self.norm = nn.LayerNorm(dim)

    def text(self, ids: Tensor) -> PositionedTokens:
        """Embed token ids int64 [B, T]."""
        return self.norm(self.words(ids) + self.marks["text"]), ids != PAD, self.sequence_positions(ids)

    def prefix(self, ids: Tensor) -> PositionedTokens:
        """Embed the tokens int64 [B, n] of a task; they all stand at the origin."""
        tokens = self.norm(self.words(ids))
        return tokens, torch.ones_like(ids, dtype=torch.bool), tokens.new_zeros(*ids.shape, 2)

    def maps(self, modality: str, maps: Tensor, hidden: Tensor | None = None) -> PositionedTokens:
        """Embed pictures or log-mel maps.

        Args:
            modality: its name.
            maps: float32 [B, C, H, W].
            hidden: bool [B, R], cells that are masked out.
        """
        tokens, mask = self.cells[modality](maps, hidden)
        return self.norm(tokens + self.marks[modality]), mask, self.cell_positions(maps)

    def sequence_positions(self, ids: Tensor) -> Tensor:
        """Positions float32 [B, T, 2] of a sequence int64 [B, T]."""
        return torch.arange(ids.shape[1], device=ids.device).float()[None, :, None].expand(len(ids), -1, 2)

    def cell_positions(self, maps: Tensor) -> Tensor:
        """Positions float32 [B, R, 2] of the cells of maps [B, C, H, W]."""
        positions = grid_positions(*cell_grid(*maps.shape[2:])).to(maps.device)
        if self.rotary == "1d":
            positions = torch.arange(len(positions), device=maps.device).float()[:, None].expand(-1, 2)
        return positions.expand(len(maps), -1, -1)


class UnifiedModel(nn.Module):
    """Embeddings, an encoder, a decoder, and a head over all tokens, tied with the table of words.

    Args:
        senses: makes tokens of inputs.
        layers: of both stacks.
        heads: of both stacks.
        qk_norm: of both stacks.
    """

    def __init__(self, senses: ModalityEmbedding, layers: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        total, dim = senses.words.weight.shape
        self.senses = senses
        self.encoder, self.decoder = Encoder(dim, layers, heads, qk_norm), Decoder(dim, layers, heads, qk_norm)
        self.head = WordHead(dim, total)

    def encode(self, parts: list[PositionedTokens]) -> PositionedTokens:
        """States of the encoder over all parts, with their mask and positions."""
        inputs = concat_tokens(parts)
        return self.encoder(inputs), inputs[1], inputs[2]

    def decode(
        self, encoded: PositionedTokens, target: Tensor, positions: Tensor, visible: Tensor, opening: int
    ) -> Tensor:
        """Logits [B, n, vocabulary] of each token of the target given those before it.

        Args:
            encoded: states of the encoder.
            target: int64 [B, n].
            positions: float32 [B, n, 2], of the target.
            visible: bool [B, n], tokens of the target that later positions may attend to.
            opening: the token before the first.
        """
        inputs = F.pad(target, (1, 0), value=opening)[:, :-1]
        allowed = decoder_mask(F.pad(visible, (1, 0), value=True)[:, :-1])
        states = self.decoder(self.senses.norm(self.senses.words(inputs)), positions, allowed, encoded)
        logits: Tensor = self.head(states, self.senses.words.weight)
        return logits


@towers.register("unified")
class SingleModalityUnified(nn.Module):
    """The model's encoder over one modality alone; its states are the tokens.

    Args:
        modality: ``text`` (token ids) or the name of a map's.
        prefix: ids of the tokens of the task.
        pieces: ids from here on are not pieces of texts; pieces of a new text unseen in training are unknown.
        vocabulary: of :class:`ModalityEmbedding`.
        dim: width.
        layers: of the encoder.
        heads: of the encoder.
        rotary: of :class:`ModalityEmbedding`.
        qk_norm: of the encoder.
    """

    def __init__(
        self,
        modality: str,
        prefix: Sequence[int],
        pieces: int,
        vocabulary: int,
        dim: int,
        layers: int,
        heads: int,
        rotary: Rotary,
        qk_norm: bool,
    ) -> None:
        super().__init__()
        self.modality, self.pieces = modality, pieces
        self.register_buffer("prefix_ids", torch.tensor(list(prefix)), persistent=False)
        self.senses = ModalityEmbedding(vocabulary, dim, [modality], rotary)
        self.encoder = Encoder(dim, layers, heads, qk_norm)

    def forward(self, inputs: Tensor) -> Tokens:
        """States [B, T, d] of the modality's own tokens, and their mask."""
        prefix = self.senses.prefix(self.get_buffer("prefix_ids").expand(len(inputs), -1))
        if self.modality == "text":
            own = self.senses.text(torch.where(inputs < self.pieces, inputs, UNKNOWN).long())
        else:
            own = self.senses.maps(self.modality, inputs)
        states = self.encoder(concat_tokens([prefix, own]))
        return states[:, prefix[0].shape[1] :], own[1]
