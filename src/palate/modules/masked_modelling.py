"""Masked modelling of one modality in a stream: choose tokens to hide, and score their prediction."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.masking import apply_mask, sample_mask
from palate.modules.regions import PositionedTower
from palate.modules.stream import TokenEmbedding, WordHead
from palate.modules.towers import Tokens

MaskedInput = tuple[Tokens, Tensor, Tensor]
"""Embedded tokens, the hidden ones among them (bool [B, T]), and the truth about those."""


class MaskedWords(nn.Module):
    """Prediction of words among all words.

    Args:
        reader: embeds ids; its table serves the predictions too.
        dim: width of states.
        mask: id shown instead.
        first: id of the first word.
    """

    def __init__(self, reader: TokenEmbedding, dim: int, mask: int, first: int) -> None:
        super().__init__()
        vocabulary = reader.words.num_embeddings
        self.reader, self.guess = reader, WordHead(dim, vocabulary)
        self.mask, self.words = mask, (first, vocabulary)

    def mask_inputs(self, ids: Tensor, present: Tensor, share: float) -> MaskedInput:
        """Hide a share of the words.

        Args:
            ids: int [B, T].
            present: bool [B], rows in which words are hidden.
            share: probability that a word is hidden.

        Returns:
            Embedded tokens, hidden places bool [B, T], and hidden ids int64 [m].
        """
        ids = ids.long()
        hidden = sample_mask((ids >= self.words[0]) & present[:, None], share)
        return self.reader(apply_mask(ids, hidden, self.mask, self.words)), hidden, ids[hidden]

    def forward(self, states: Tensor, truth: Tensor) -> Tensor:
        """Mean cross-entropy of hidden words, 0 without any.

        Args:
            states: [m, d].
            truth: int64 [m].
        """
        logits = self.guess(states, self.reader.words.weight)
        total: Tensor = F.cross_entropy(logits, truth, reduction="sum")
        return total / max(len(truth), 1)


class MaskedFeatures(nn.Module):
    """Prediction of features of regions or of stretches of sound.

    Args:
        reader: embeds inputs.
        dim: width of states.
        width: of the features.
        length: tokens of an entity.
    """

    def __init__(self, reader: PositionedTower, dim: int, width: int, length: int) -> None:
        super().__init__()
        self.reader, self.guess, self.length = reader, nn.Linear(dim, width), length

    def mask_inputs(self, inputs: Tensor, present: Tensor, share: float) -> tuple[Tokens, Tensor]:
        """Hide a share of the tokens.

        Args:
            inputs: [B, ...].
            present: bool [B], rows in which tokens are hidden.
            share: probability that a token is hidden.

        Returns:
            Embedded tokens, and hidden places bool [B, T].
        """
        hidden = sample_mask(present[:, None].expand(-1, self.length), share)
        return self.reader(inputs, hidden), hidden

    def forward(self, states: Tensor, truth: Tensor) -> Tensor:
        """Mean squared error of hidden features, 0 without any.

        Args:
            states: [m, d].
            truth: [m, width].
        """
        error: Tensor = (self.guess(states) - truth).square().mean(1)
        return error.sum() / max(len(truth), 1)
