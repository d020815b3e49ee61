"""A text as a weighted sum of its words: with few texts, less to learn than a Transformer has."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.modules.towers import PAD, Tokens, known, towers

SPECIAL = 5


@towers.register("bag")
class Bag(nn.Module):
    """``relu(g_w) e_w`` for each word of a text, as many numbers as ``dim`` each, ``PAD`` where there is none.

    Untrained, with weights by :meth:`weigh`, cosines of sums are about those of tf-idf, for random vectors of many
    words are nearly orthogonal (Johnson & Lindenstrauss 1984); training moves words that mean the same together.

    Args:
        vocabulary: number of ids. dim: width. hide: share of the words that training does not see, drawn anew each
            time, so that no text is known by heart.
    """

    def __init__(self, vocabulary: int, dim: int = 256, hide: float = 0.8) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.weights = nn.Parameter(torch.ones(vocabulary))
        self.hide = hide
        with torch.no_grad():
            self.words.weight[PAD].zero_()

    def weigh(self, ids: NDArray[np.generic]) -> None:
        """Weights by rarity: ``log((1 + n) / (1 + texts with it))``, the largest 1; 0 for marks that are no words.

        Args:
            ids: [n, T], of the texts that may be seen.
        """
        counts = np.zeros(len(self.weights))
        found = np.sort(ids.astype(np.int64), axis=1)
        first = np.ones(found.shape, bool)
        first[:, 1:] = found[:, 1:] != found[:, :-1]
        np.add.at(counts, found[first], 1)
        rarity = np.log((1 + len(ids)) / (1 + counts))
        rarity[:SPECIAL] = 0
        with torch.no_grad():
            self.weights.copy_(torch.from_numpy(rarity / max(float(rarity.max()), 1e-9)))

    def forward(self, ids: Tensor) -> Tokens:
        ids = known(ids.long(), self.words)
        mask = ids != PAD
        if self.training and self.hide:
            kept = mask & (torch.rand(ids.shape, device=ids.device) >= self.hide)
            mask = torch.where(kept.any(1, keepdim=True), kept, mask)
        return self.words(ids) * F.relu(self.weights[ids])[:, :, None], mask
