"""Which texts of a history are closest to a query, by the words they share."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.text_generation.topics import word_counts


def retrieve(query: Tensor, texts: Tensor, weights: Tensor, k: int) -> Tensor:
    """Keep the k texts of each history that are most like the query, in their order; empty the others.

    Likeness is the cosine of weighted sets of words; of equal texts the newest is kept.

    Args:
        query: int64 [B, Q].
        texts: int64 [B, N, T], oldest first.
        weights: of words [V], such as inverse document frequencies.
        k: texts that are kept.

    Returns:
        int64 [B, N, T], padding in place of texts that are not kept.
    """
    batch, n = texts.shape[:2]
    if k >= n:
        return texts
    size = len(weights)
    asked = (word_counts(query, size) > 0) * weights
    said = (word_counts(texts.flatten(0, 1), size) > 0).view(batch, n, size) * weights
    likeness = torch.nn.functional.cosine_similarity(asked[:, None], said, dim=2)
    newest = torch.arange(n, device=texts.device) * 1e-6
    present = texts.any(2)
    ranked = torch.where(present, likeness + newest, -torch.inf)
    kept = torch.zeros_like(present).scatter(1, ranked.topk(k, 1).indices, True)
    return texts * kept[..., None]
