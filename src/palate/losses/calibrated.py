"""Pairs told apart by a calibrated cosine."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import DataError


def calibrated_cosine(pos: Tensor, neg: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean logistic loss of ``sigmoid(scale cos + shift)`` over pairs that count (SSD, Huang et al., KDD 2021).

    Args:
        pos: cosines of pairs that belong together [B].
        neg: cosines of pairs that do not [B, n].
        scale, shift: learnt numbers; without them a cosine cannot express a rare match.
        mask: bool [B, n], True where a negative counts.

    Data: item pairs with drawn negatives. Relations: :func:`palate.losses.ranking.sampled_softmax` compares the pairs
    of an item with each other, this loss judges each pair by itself.
    """
    if pos.ndim != 1 or neg.ndim != 2 or len(neg) != len(pos):
        raise DataError(f"cosines of positives {tuple(pos.shape)} do not fit those of negatives {tuple(neg.shape)}")
    far = F.softplus(scale * neg + shift)
    far = far if mask is None else far[mask]
    return (F.softplus(-(scale * pos + shift)).sum() + far.sum()) / (pos.numel() + far.numel())
