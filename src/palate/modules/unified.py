"""Texts, pictures and sounds read and written by one encoder-decoder over one vocabulary (Unified-IO 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.cells import Cells, grid, grid_places
from palate.modules.seq2seq import Decoder, Encoder, Placed, joined, writing_rule
from palate.modules.stream import WordHead
from palate.modules.towers import PAD, UNKNOWN, Tokens, towers

Rotary = Literal["2d", "1d"]


class Senses(nn.Module):
    """Inputs to tokens: words from the one table of all tokens, cells of pictures and sounds from convolutions; to each
    a vector of its modality is added.

    Args:
        vocabulary: number of all tokens. dim: width. modalities: which can be read.
        rotary: places of cells, (row, column), or twice their number in reading order; words have twice their number.
    """

    def __init__(self, vocabulary: int, dim: int, modalities: Sequence[str], rotary: Rotary = "2d") -> None:
        super().__init__()
        self.rotary = rotary
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=0.02)
        self.marks = nn.ParameterDict({m: nn.Parameter(torch.randn(dim) * 0.02) for m in modalities})
        self.cells = nn.ModuleDict({m: Cells(dim) for m in modalities if m != "text"})
        self.norm = nn.LayerNorm(dim)

    def text(self, ids: Tensor) -> Placed:
        """Of token ids int64 [B, T]."""
        return self.norm(self.words(ids) + self.marks["text"]), ids != PAD, self.line(ids)

    def prefix(self, ids: Tensor) -> Placed:
        """Of tokens int64 [B, n] that say what is wanted; they all stand at the origin."""
        made = self.norm(self.words(ids))
        return made, torch.ones_like(ids, dtype=torch.bool), made.new_zeros(*ids.shape, 2)

    def map(self, modality: str, maps: Tensor, hidden: Tensor | None = None) -> Placed:
        """Of pictures or log-mel maps float32 [B, C, H, W], without hidden cells (bool [B, R])."""
        tokens, mask = self.cells[modality](maps, hidden)
        return self.norm(tokens + self.marks[modality]), mask, self.raster(maps)

    def line(self, ids: Tensor) -> Tensor:
        """Places float32 [B, T, 2] of a sequence int64 [B, T]."""
        return torch.arange(ids.shape[1], device=ids.device).float()[None, :, None].expand(len(ids), -1, 2)

    def raster(self, maps: Tensor) -> Tensor:
        """Places float32 [B, R, 2] of the cells of maps [B, C, H, W]."""
        places = grid_places(*grid(*maps.shape[2:])).to(maps.device)
        if self.rotary == "1d":
            places = torch.arange(len(places), device=maps.device).float()[:, None].expand(-1, 2)
        return places.expand(len(maps), -1, -1)


class UnifiedModel(nn.Module):
    """Senses, an encoder, a decoder, and a head over all tokens, tied with the table of words.

    Args:
        senses: what makes tokens. layers, heads, qk_norm: of both stacks.
    """

    def __init__(self, senses: Senses, layers: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        total, dim = senses.words.weight.shape
        self.senses = senses
        self.encoder, self.decoder = Encoder(dim, layers, heads, qk_norm), Decoder(dim, layers, heads, qk_norm)
        self.head = WordHead(dim, total)

    def read(self, parts: list[Placed]) -> Placed:
        """States of the encoder over all parts, and where they are."""
        shown = joined(parts)
        return self.encoder(shown), shown[1], shown[2]

    def write(self, read: Placed, written: Tensor, places: Tensor, tells: Tensor, opening: int) -> Tensor:
        """Logits [B, n, vocabulary] of each of ``written`` given those before it.

        Args:
            read: what the encoder made. written: int64 [B, n]. places: float32 [B, n, 2], where each stands.
            tells: bool [B, n], which of them later positions may see. opening: the token before the first.
        """
        inputs = F.pad(written, (1, 0), value=opening)[:, :-1]
        rule = writing_rule(F.pad(tells, (1, 0), value=True)[:, :-1])
        states = self.decoder(self.senses.norm(self.senses.words(inputs)), places, rule, read)
        logits: Tensor = self.head(states, self.senses.words.weight)
        return logits


@towers.register("unified")
class Alone(nn.Module):
    """What the model reads of one modality alone; its tokens are the encoder's states.

    Args:
        modality: ``text`` (token ids) or a map's. prefix: ids of the tokens that say what is wanted.
        pieces: ids from here on are not pieces of texts; a new text's pieces that training did not see are unknown.
        vocabulary, dim, layers, heads, rotary, qk_norm: of :class:`Senses` and the encoder.
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
        self.register_buffer("asked", torch.tensor(list(prefix)), persistent=False)
        self.senses = Senses(vocabulary, dim, [modality], rotary)
        self.encoder = Encoder(dim, layers, heads, qk_norm)

    def forward(self, inputs: Tensor) -> Tokens:
        """States [B, T, d] of the modality's own tokens, and their mask."""
        assert isinstance(self.asked, Tensor)
        asked = self.senses.prefix(self.asked.expand(len(inputs), -1))
        if self.modality == "text":
            own = self.senses.text(torch.where(inputs < self.pieces, inputs, UNKNOWN).long())
        else:
            own = self.senses.map(self.modality, inputs)
        states = self.encoder(joined([asked, own]))
        return states[:, asked[0].shape[1] :], own[1]
