"""Topics of texts by non-negative matrix factorisation of their word counts."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.modules.text_generation.words import END, PAD, START, UNKNOWN

TINY = 1e-9
FOLDING = 20
"""Updates with which the topics of a new text are found."""


class TopicModel(nn.Module):
    """Shares of topics in texts (Lee & Seung, NIPS 2000): counts ~ shares x words, in the least squares sense.

    Counts are weighed by inverse document frequency, so that common words do not make topics.

    Args:
        vocabulary: number of words.
        topics: number of topics.
    """

    def __init__(self, vocabulary: int, topics: int) -> None:
        super().__init__()
        self.words: Tensor
        self.weights: Tensor
        self.register_buffer("words", torch.zeros(topics, vocabulary))
        self.register_buffer("weights", torch.zeros(vocabulary))

    def fit(self, texts: NDArray[np.int64], rng: np.random.Generator, rounds: int = 50) -> None:
        """Learn the words of topics.

        Args:
            texts: int64 [n, T]; ids from the size of the vocabulary on are left out.
            rng: draws the start.
            rounds: of multiplicative updates.
        """
        topics, size = self.words.shape
        keep = (texts > END) & (texts < size)
        rows = np.nonzero(keep)[0]
        counts = sp.csr_array((np.ones(len(rows)), (rows, texts[keep])), shape=(len(texts), size))
        counts.sum_duplicates()
        documents = np.bincount(counts.indices, minlength=size)
        weights = np.log((1 + len(texts)) / (1 + documents)) * (documents > 0)
        counts = counts @ sp.diags_array(weights)
        shares, words = rng.random((len(texts), topics)), rng.random((topics, size))
        for _ in range(rounds):
            shares *= (counts @ words.T) / (shares @ (words @ words.T) + TINY)
            words *= (counts.T @ shares).T / ((shares.T @ shares) @ words + TINY)
        words /= words.sum(1, keepdims=True) + TINY
        self.words.copy_(torch.from_numpy(words.astype(np.float32)))
        self.weights.copy_(torch.from_numpy(weights.astype(np.float32)))

    def forward(self, ids: Tensor) -> Tensor:
        """Shares of topics [B, topics] in texts int64 [B, T]; zeros for a text without known words."""
        counts = word_counts(ids, len(self.weights)) * self.weights
        gram, target = self.words @ self.words.T, counts @ self.words.T
        shares = torch.ones_like(target)
        for _ in range(FOLDING):
            shares = shares * target / (shares @ gram + TINY)
        return shares / shares.sum(1, keepdim=True).clamp(min=TINY)


def word_counts(ids: Tensor, vocabulary: int) -> Tensor:
    """How often texts have each word of a vocabulary, float32 [B, V]; special words are not counted.

    Args:
        ids: int64 [B, T].
        vocabulary: size.
    """
    special = torch.tensor([PAD, UNKNOWN, START, END], device=ids.device)
    keep = (ids < vocabulary) & ~torch.isin(ids, special)
    out = torch.zeros(len(ids), vocabulary, device=ids.device)
    return out.scatter_add(1, torch.where(keep, ids, 0), keep.float())
