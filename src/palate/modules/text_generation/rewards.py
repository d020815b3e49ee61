"""Rewards of generated texts: overlap with a reference, words found in the source, fluency by a bigram model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.modules.text_generation.words import END, PAD, START


def content_mask(ids: Tensor) -> Tensor:
    """Bool: words, neither padding nor the end.

    Args:
        ids: int64.
    """
    return (ids != PAD) & (ids != END)


def rouge_l(texts: Tensor, references: Tensor) -> Tensor:
    """ROUGE-L F1 on ids: longest common subsequence over lengths.

    Args:
        texts: int64 [B, T].
        references: int64 [B, R].

    Returns:
        [B] in [0, 1]; 0 where either is empty.
    """
    mine, theirs = content_mask(texts), content_mask(references)
    equal = (texts[:, :, None] == references[:, None, :]) & mine[:, :, None] & theirs[:, None, :]
    row = equal.new_zeros(len(texts), references.shape[1] + 1, dtype=torch.int64)
    for at in range(texts.shape[1]):
        # row[j + 1] = max(row[j + 1], new[j], row[j] + equal); a running maximum does the middle term
        best = torch.maximum(row[:, 1:], row[:, :-1] + equal[:, at])
        row = torch.nn.functional.pad(best.cummax(1).values, (1, 0)) if best.shape[1] else row
    common = row[:, -1].float()
    return 2 * common / (mine.sum(1) + theirs.sum(1)).clamp(min=1)


def word_support(texts: Tensor, sources: Tensor) -> Tensor:
    """Share of a text's words that its source has.

    Args:
        texts: int64 [B, T].
        sources: int64 [B, S].

    Returns:
        [B] in [0, 1]; 0 for an empty text.
    """
    mine = content_mask(texts)
    inside = (texts[:, :, None] == sources[:, None, :]).any(2) & mine
    return inside.sum(1) / mine.sum(1).clamp(min=1)


@dataclass(frozen=True)
class BigramModel:
    """How usual a text's pairs of neighbours are, interpolated with how usual its words are.

    p(w | v) = share c(v, w) / c(v) + (1 - share) (c(w) + 1) / (n + size).

    Attributes:
        pairs: int64 [P], v * size + w of the pairs that occur, sorted.
        pair_counts: float32 [P].
        counts: float32 [size], of words as first of a pair.
        word_counts: float32 [size], of words as second of a pair.
        share: of pairs.
    """

    pairs: Tensor
    pair_counts: Tensor
    counts: Tensor
    word_counts: Tensor
    share: float = 0.8

    @classmethod
    def learn(cls, texts: NDArray[np.int64], size: int) -> BigramModel:
        """Count.

        Args:
            texts: int64 [n, T], closed by ``END``; ids from ``size`` on count as unknown words.
            size: of the vocabulary.
        """
        ids = np.where(texts < size, texts, 1)
        first = np.concatenate([np.full((len(ids), 1), START), ids[:, :-1]], 1)
        keep = ids != PAD
        keys, counts = np.unique(first[keep] * size + ids[keep], return_counts=True)
        first_counts = np.bincount(first[keep], minlength=size)
        second = np.bincount(ids[keep], minlength=size)
        pairs, firsts, seconds = (torch.from_numpy(n.astype(np.float32)) for n in (counts, first_counts, second))
        return cls(torch.from_numpy(keys), pairs, firsts, seconds)

    def score(self, texts: Tensor) -> Tensor:
        """Geometric mean of the probabilities of a text's words and its end.

        Args:
            texts: int64 [B, T], closed by ``END``.

        Returns:
            [B] in [0, 1]; 0 for a text without words.
        """
        size, device = len(self.counts), texts.device
        ids = torch.where(texts < size, texts, 1)
        first = torch.nn.functional.pad(ids, (1, 0), value=START)[:, :-1]
        keys, pairs = first * size + ids, self.pairs.to(device)
        at = torch.searchsorted(pairs, keys).clamp(max=max(len(pairs) - 1, 0))
        seen = torch.where(pairs[at] == keys, self.pair_counts.to(device)[at], 0)
        words = self.word_counts.to(device)
        pair = seen / self.counts.to(device)[first].clamp(min=1)
        probability = self.share * pair + (1 - self.share) * (words[ids] + 1) / (words.sum() + size)
        mask = ids != PAD
        mean = (probability.log() * mask).sum(1) / mask.sum(1).clamp(min=1)
        return mean.exp() * content_mask(texts).any(1)
