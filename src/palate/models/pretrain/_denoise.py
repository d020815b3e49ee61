"""Tasks of a mixture of denoisers: what of a target is shown, and what is to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from palate.features.vocabulary import SPECIAL
from palate.modules.masking import sample_mask
from palate.modules.seq2seq import PositionedTokens
from palate.modules.token_ids import corrupt_spans, sample_spans, split_at
from palate.modules.towers import PAD
from palate.modules.unified import ModalityEmbedding

OPEN, END, MASK = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
MODALITIES, DENOISERS = ("text", "image", "audio"), "RSX"
SPANS = {"R": (0.15, 3), "X": (0.5, 8)}
"""Share of a text's pieces that is taken out, and how many at a time."""


@dataclass(frozen=True)
class Layout:
    """One vocabulary: pieces of texts, codes of maps, sentinels, and the tokens that say what is wanted.

    Args:
        pieces: number of ids of pieces. length: of texts at most. maps: modalities with codes. codes: of each.
    """

    pieces: int
    length: int
    maps: Sequence[str]
    codes: int

    def first(self, modality: str) -> int:
        """Id of a map's code 0."""
        return self.pieces + self.codes * list(self.maps).index(modality)

    @property
    def sentinel(self) -> int:
        """Id of the first sentinel."""
        return self.pieces + self.codes * len(self.maps)

    def asked(self, head: str, denoiser: str) -> list[int]:
        """Ids of the two tokens that ask for a modality and a denoiser."""
        first = self.sentinel + (self.length + 1) // 2
        return [first + MODALITIES.index(head), first + len(MODALITIES) + DENOISERS.index(denoiser)]

    def __len__(self) -> int:
        return self.sentinel + (self.length + 1) // 2 + len(MODALITIES) + len(DENOISERS)


@dataclass(frozen=True)
class Target:
    """What the encoder sees of the target, if anything, and what is to be written.

    Attributes:
        shown: the encoder's part. ids: int64 [B, n], to be written. places: float32 [B, n, 2].
        tells: bool [B, n], which of them later positions may see. counts: bool [B, n], which of them are learnt.
    """

    shown: PositionedTokens | None
    ids: Tensor
    places: Tensor
    tells: Tensor
    counts: Tensor


def text_target(senses: ModalityEmbedding, ids: Tensor, denoiser: str, sentinel: int) -> Target:
    """Of ids int64 [B, T]: spans taken out ([R], [X]), or a text cut anywhere after its first token ([S])."""
    if denoiser == "S":
        length = (ids != PAD).sum(1)
        read, written = split_at(ids, (torch.rand(len(ids), device=ids.device) * (length - 1)).long() + 1)
    else:
        read, written = corrupt_spans(ids, sample_spans(ids >= len(SPECIAL), *SPANS[denoiser]), sentinel, END)
    every = torch.ones_like(written, dtype=torch.bool)
    return Target(senses.text(read), written, senses.sequence_positions(written), every, written != PAD)


def map_target(
    senses: ModalityEmbedding, modality: str, maps: Tensor, codes: Tensor, denoiser: str, share: float, dynamic: bool
) -> Target:
    """Of maps [B, C, H, W] with codes int64 [B, R]: a ``share`` of the cells is hidden ([R]), or all ([S]).

    Under [R] hidden codes are learnt, and, if ``dynamic``, not seen by later positions.
    """
    places, every = senses.cell_positions(maps), torch.ones_like(codes, dtype=torch.bool)
    if denoiser == "S":
        return Target(None, codes, places, every, every)
    hidden = sample_mask(every, share)
    return Target(senses.maps(modality, maps, hidden), codes, places, ~hidden if dynamic else every, hidden)
