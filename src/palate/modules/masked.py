"""Masked modelling of one modality in a stream: what is hidden, and how well it is guessed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.detector import Detector
from palate.modules.masking import choose, corrupt
from palate.modules.regions import PlacedTower
from palate.modules.stream import WordHead, Words
from palate.modules.towers import Tokens

Hidden = tuple[Tokens, Tensor, Tensor]
"""Embedded tokens, which of them are hidden (bool [B, T]), and what those are."""


class MaskedWords(nn.Module):
    """Words are guessed among all words.

    Args:
        reader: embeds ids; its table serves the guesses too. dim: width of states.
        mask: id shown instead. first: id of the first word.
    """

    def __init__(self, reader: Words, dim: int, mask: int, first: int) -> None:
        super().__init__()
        vocabulary = reader.words.num_embeddings
        self.reader, self.guess = reader, WordHead(dim, vocabulary)
        self.mask, self.words = mask, (first, vocabulary)

    def hide(self, ids: Tensor, present: Tensor, share: float) -> Hidden:
        """Ids [B, T] of which ``share`` are hidden in rows that are ``present`` (bool [B])."""
        ids = ids.long()
        where = choose((ids >= self.words[0]) & present[:, None], share)
        return self.reader(corrupt(ids, where, self.mask, self.words)), where, ids[where]

    def forward(self, states: Tensor, truth: Tensor) -> Tensor:
        """Mean cross-entropy of hidden words, 0 without any. states: [m, d]. truth: int64 [m]."""
        logits = self.guess(states, self.reader.words.weight)
        total: Tensor = F.cross_entropy(logits, truth, reduction="sum")
        return total / max(len(truth), 1)


class MaskedFeatures(nn.Module):
    """Features of regions or of stretches of sound, as a frozen copy of the reader's tower gives them.

    Args:
        reader: embeds inputs. dim: width of states. sample: inputs to standardise by. generator: of the detector.
    """

    def __init__(self, reader: PlacedTower, dim: int, sample: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.reader, self.guess = reader, nn.Linear(dim, dim)
        self.detector = Detector(reader.tower, sample, 1, generator)
        with torch.no_grad():
            self.length = reader(sample[:1])[0].shape[1]

    def hide(self, inputs: Tensor, present: Tensor, share: float) -> Hidden:
        """Inputs [B, ...] of which ``share`` of the tokens is hidden in rows that are ``present`` (bool [B])."""
        where = choose(present[:, None].expand(-1, self.length), share)
        return self.reader(inputs, where), where, self.detector(inputs)[where]

    def forward(self, states: Tensor, truth: Tensor) -> Tensor:
        """Mean squared error, 0 without any hidden token. states, truth: [m, d]."""
        error: Tensor = (self.guess(states) - truth).square().mean(1)
        return error.sum() / max(len(truth), 1)
