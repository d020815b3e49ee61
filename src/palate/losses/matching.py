"""Does this belong to that? A cosine read as a probability."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import DataError


def cosine_match(a: Tensor, b: Tensor, match: Tensor) -> Tensor:
    """Mean of ``-y log s - (1 - y) log(1 - s)`` with ``s = (1 + cos(a, b)) / 2`` (RecoBERT, Malkiel et al., 2020).

    Args:
        a: [B, d]. b: [B, d], row by row. match: bool [B], y: whether a row's two belong together. 0 without rows.

    Data: pairs of which about half do not match. Relations: :func:`palate.losses.calibrated.calibrated_cosine` learns
    scale and shift as well; given many negatives a pair, :func:`palate.losses.contrastive.info_nce` uses them better.
    """
    if a.ndim != 2 or a.shape != b.shape or match.shape != a.shape[:1]:
        raise DataError(f"pairs of {tuple(a.shape)} and {tuple(b.shape)} do not fit {tuple(match.shape)} answers")
    # equal or opposite directions would have an infinite logarithm
    score = ((1 + F.cosine_similarity(a, b, dim=1)) / 2).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(score, match.to(score.dtype), reduction="sum") / max(len(score), 1)
