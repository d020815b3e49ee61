"""A text as a weighted sum of its words: with few texts, less to learn than a Transformer has."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.modules.towers import PAD, Tokens, clip_oov, towers

N_SPECIAL = 5
"""Ids below this are marks such as ``[CLS]``, not words."""


@towers.register("bag")
class BagOfWords(nn.Module):
    """``relu(g_w) e_w`` for each word of a text.

    Untrained, with weights by :meth:`fit_weights`, cosines of sums are about those of tf-idf, for random vectors of
    many words are nearly orthogonal (Johnson & Lindenstrauss 1984); training moves synonyms together.

    Args:
        vocabulary: number of ids; ``PAD`` stands where there is no word.
        dim: width.
        hide: share of the words hidden in training, drawn again each time, so that no text is memorised.
    """

    def __init__(self, vocabulary: int, dim: int = 256, hide: float = 0.8) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.weights = nn.Parameter(torch.ones(vocabulary))
        self.hide = hide
        with torch.no_grad():
            self.words.weight[PAD].zero_()

    def fit_weights(self, ids: NDArray[np.generic]) -> None:
        """Set weights by rarity: ``log((1 + n) / (1 + document frequency))``, the largest 1; 0 for special marks.

        Args:
            ids: [n, T], of the texts visible in training.
        """
        counts = np.zeros(len(self.weights))
        ordered = np.sort(ids.astype(np.int64), axis=1)
        first = np.ones(ordered.shape, bool)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        np.add.at(counts, ordered[first], 1)
        rarity = np.log((1 + len(ids)) / (1 + counts))
        rarity[:N_SPECIAL] = 0
        with torch.no_grad():
            self.weights.copy_(torch.from_numpy(rarity / max(float(rarity.max()), 1e-9)))

    def forward(self, ids: Tensor) -> Tokens:
        """Weighted embeddings [B, T, d] of ids [B, T] and their mask."""
        ids = clip_oov(ids.long(), self.words)
        mask = ids != PAD
        if self.training and self.hide:
            visible = mask & (torch.rand(ids.shape, device=ids.device) >= self.hide)
            mask = torch.where(visible.any(1, keepdim=True), visible, mask)
        return self.words(ids) * F.relu(self.weights[ids])[:, :, None], mask
