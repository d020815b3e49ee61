"""Tasks of a mixture of denoisers: the visible part of a target, and the tokens that are predicted."""

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

CLS, SEP, MASK = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
MODALITIES, DENOISERS = ("text", "image", "audio"), "RSX"
SPANS = {"R": (0.15, 3), "X": (0.5, 8)}
"""Share of a text's pieces that is removed, and the mean length of a span."""


@dataclass(frozen=True)
class UnifiedVocabulary:
    """One vocabulary of text pieces, codes of pictures and sounds, sentinels, and tokens that name the task.

    Args:
        pieces: number of ids of text pieces.
        length: length of a text at most.
        maps: modalities with codes.
        codes: codes of each of them.
    """

    pieces: int
    length: int
    maps: Sequence[str]
    codes: int

    def first_code(self, modality: str) -> int:
        """Id of code 0 of a modality."""
        return self.pieces + self.codes * list(self.maps).index(modality)

    @property
    def first_sentinel(self) -> int:
        """Id of the first sentinel."""
        return self.pieces + self.codes * len(self.maps)

    def task_prefix(self, head: str, denoiser: str) -> list[int]:
        """Ids of the two tokens that name a target modality and a denoiser."""
        first = self.first_sentinel + (self.length + 1) // 2
        return [first + MODALITIES.index(head), first + len(MODALITIES) + DENOISERS.index(denoiser)]

    def __len__(self) -> int:
        return self.first_sentinel + (self.length + 1) // 2 + len(MODALITIES) + len(DENOISERS)


@dataclass(frozen=True)
class DenoisingTarget:
    """The part of a target that the encoder reads, and the tokens that the decoder predicts.

    Attributes:
        visible: input of the encoder; None if all is hidden.
        ids: int64 [B, n], tokens of the decoder.
        positions: float32 [B, n, 2], their positions.
        readable: bool [B, n], tokens that later positions may attend to.
        scored: bool [B, n], tokens that the loss counts.
    """

    visible: PositionedTokens | None
    ids: Tensor
    positions: Tensor
    readable: Tensor
    scored: Tensor


def text_target(senses: ModalityEmbedding, ids: Tensor, denoiser: str, sentinel: int) -> DenoisingTarget:
    """Make a task of a text: remove spans ([R], [X]), or cut it anywhere after its first token ([S]).

    Args:
        senses: embeds what the encoder reads.
        ids: int64 [B, T].
        denoiser: ``R``, ``S`` or ``X``.
        sentinel: id of the first sentinel.

    Returns:
        The task; padding is not scored.
    """
    if denoiser == "S":
        length = (ids != PAD).sum(1)
        read, written = split_at(ids, (torch.rand(len(ids), device=ids.device) * (length - 1)).long() + 1)
    else:
        read, written = corrupt_spans(ids, sample_spans(ids >= len(SPECIAL), *SPANS[denoiser]), sentinel, SEP)
    readable = torch.ones_like(written, dtype=torch.bool)
    return DenoisingTarget(senses.text(read), written, senses.sequence_positions(written), readable, written != PAD)


def map_target(
    senses: ModalityEmbedding, modality: str, maps: Tensor, codes: Tensor, denoiser: str, share: float, dynamic: bool
) -> DenoisingTarget:
    """Make a task of a picture or a sound: hide a ``share`` of its cells ([R]), or all ([S]).

    Args:
        senses: embeds what the encoder reads.
        modality: ``image`` or ``audio``.
        maps: [B, C, H, W].
        codes: int64 [B, R], ids of their cells.
        denoiser: ``R`` or ``S``.
        share: share of the cells hidden under [R]; these alone are scored.
        dynamic: under [R] hide them from later positions of the decoder as well.

    Returns:
        The task.
    """
    positions, every = senses.cell_positions(maps), torch.ones_like(codes, dtype=torch.bool)
    if denoiser == "S":
        return DenoisingTarget(None, codes, positions, every, every)
    hidden = sample_mask(every, share)
    visible = senses.maps(modality, maps, hidden)
    return DenoisingTarget(visible, codes, positions, ~hidden if dynamic else every, hidden)
