"""Objectives that judge each pair or term by itself, not against others of the batch.

| loss | takes | picks |
|---|---|---|
| :func:`cosine_match` | pairs with a label | a cosine read as a probability, nothing to learn |
| :func:`calibrated_cosine` | cosines of positives and negatives | scale and shift are learnt, so a match may be rare |
| :func:`harmonised` | scalar terms of several modalities | weights of the terms are learnt |
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import DataError


def cosine_match(a: Tensor, b: Tensor, match: Tensor) -> Tensor:
    """Mean of ``-y log s - (1 - y) log(1 - s)`` with ``s = (1 + cos(a, b)) / 2`` (RecoBERT, Malkiel et al., 2020).

    Data: pairs of which about half do not match.
    Relations: :func:`calibrated_cosine` learns scale and shift as well; given many negatives a pair,
    :func:`palate.losses.contrastive.info_nce` uses them better.

    Args:
        a: [B, d].
        b: [B, d], row by row.
        match: bool [B], y: whether the two vectors of a row belong together.

    Returns:
        A scalar; 0 without rows.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> a = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> b = torch.tensor([[1.0, 0.1], [0.0, 1.0]])
        >>> round(float(cosine_match(a, b, torch.tensor([True, False]))), 4)
        0.3478
    """
    if a.ndim != 2 or a.shape != b.shape or match.shape != a.shape[:1]:
        raise DataError(f"pairs of {tuple(a.shape)} and {tuple(b.shape)} do not fit {tuple(match.shape)} labels")
    # equal or opposite directions would have an infinite logarithm
    score = ((1 + F.cosine_similarity(a, b, dim=1)) / 2).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(score, match.to(score.dtype), reduction="sum") / max(len(score), 1)


def calibrated_cosine(pos: Tensor, neg: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean logistic loss of ``sigmoid(scale cos + shift)`` over pairs that count (SSD, Huang et al., KDD 2021).

    Data: item pairs with drawn negatives.
    Relations: :func:`palate.losses.ranking.sampled_softmax` compares the pairs of an item with each other, this loss
    judges each pair by itself.

    Args:
        pos: cosines of pairs that belong together [B].
        neg: cosines of pairs that do not [B, n].
        scale: learnt scalar; without it a cosine cannot express a rare match.
        shift: learnt scalar, likewise.
        mask: bool [B, n], True where a negative counts.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> pos, neg = torch.tensor([0.9, 0.7]), torch.tensor([[0.1, -0.2], [0.3, 0.0]])
        >>> round(float(calibrated_cosine(pos, neg, torch.tensor(5.0), torch.tensor(-2.0))), 4)
        0.1886
    """
    if pos.ndim != 1 or neg.ndim != 2 or len(neg) != len(pos):
        raise DataError(f"cosines of positives {tuple(pos.shape)} do not fit those of negatives {tuple(neg.shape)}")
    negative = F.softplus(scale * neg + shift)
    negative = negative if mask is None else negative[mask]
    return (F.softplus(-(scale * pos + shift)).sum() + negative.sum()) / (pos.numel() + negative.numel())


def harmonised(logits: Mapping[str, Tensor], terms: Mapping[tuple[str, ...], Tensor]) -> Tensor:
    """``sum_t n w_t L_t``, ``w = softmax_t(sum of the logits of t's modalities)``, n the number of terms.

    Self-harmonised weights after SCALE (Dong et al., CVPR 2022): the logits are learnt with the rest, by descent on the
    weighted sum itself, so a modality whose terms stay high (noise, nothing to align) loses weight.

    Data: terms of comparable scale.
    Relations: several calls with the same logits share one importance between kinds of terms.

    Args:
        logits: modality -> a learnt scalar, 0 at first: then all weights are 1.
        terms: modalities that take part -> the scalar term.

    Raises:
        DataError: there are no terms.

    Examples:
        >>> logits = {"text": torch.tensor(0.0), "image": torch.tensor(0.0)}
        >>> terms = {("text",): torch.tensor(1.0), ("text", "image"): torch.tensor(3.0)}
        >>> float(harmonised(logits, terms))
        4.0
    """
    if not terms:
        raise DataError("no terms to weight")
    total = torch.stack([torch.stack([logits[m] for m in modalities]).sum() for modalities in terms])
    weights = len(terms) * total.softmax(0)
    return (weights * torch.stack([*terms.values()])).sum()
