"""Objectives that put observed items above sampled ones; all work on scores, so any model can use them.

| loss | scores | negatives for each positive | picks |
|---|---|---|---|
| :func:`bpr` | any | 1 (or a few) | the default for implicit feedback |
| :func:`hinge` | any, best cosines | a few | stops pushing once the margin is met |
| :func:`cosine_contrastive` | cosines | many (50-1000) | ignores easy negatives |
| :func:`sampled_softmax` | logits | many | weights hard negatives most; corrects for how they were drawn |
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import ConfigError, DataError


def bpr(pos: Tensor, neg: Tensor, weight: Tensor | None = None) -> Tensor:
    """Bayesian personalised ranking: mean of ``-log sigmoid(pos - neg)`` (Rendle et al., UAI 2009).

    Data: implicit feedback with uniform negatives.
    Relations: the smooth form of :func:`hinge`; with one negative it equals :func:`sampled_softmax` over that pair.

    Args:
        pos: scores of observed items [B].
        neg: scores of sampled items [B] or [B, n]; several negatives are averaged.
        weight: importance of each row [B], averaged over rows with their sum.

    Raises:
        DataError: the shapes do not fit.

    Examples:
        >>> pos, neg = torch.tensor([2.0, 0.5]), torch.tensor([0.0, 1.0])
        >>> round(float(bpr(pos, neg)), 4)
        0.5505
    """
    return _mean(F.softplus(-_gap(pos, neg)), weight)


def hinge(pos: Tensor, neg: Tensor, margin: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Mean of ``max(0, margin - pos + neg)`` (triplet/WSABIE form; Weston et al., IJCAI 2011).

    Data: triplets.
    Relations: :func:`bpr` without saturation at a margin; for cosines see :func:`cosine_contrastive`.

    Args:
        pos: scores of observed items [B].
        neg: scores of sampled items [B] or [B, n]; several negatives are averaged.
        margin: gap after which a pair has no gradient; choose it for the scale of the scores.
        weight: importance of each row [B].

    Raises:
        DataError: the shapes do not fit.

    Examples:
        >>> pos, neg = torch.tensor([2.0, 0.5]), torch.tensor([0.0, 1.0])
        >>> float(hinge(pos, neg))
        0.75
    """
    return _mean(F.relu(margin - _gap(pos, neg)), weight)


def cosine_contrastive(pos: Tensor, neg: Tensor, margin: float = 0.4, neg_weight: float = 1.0) -> Tensor:
    """SimpleX: mean of ``(1 - pos) + neg_weight / n * sum_j max(0, neg_j - margin)`` (Mao et al., CIKM 2021).

    Data: many uniform negatives.
    Relations: unlike :func:`hinge` positives and negatives are bounded apart, not against each other.

    Args:
        pos: cosines of observed pairs [B].
        neg: cosines with sampled items [B, n].
        margin: negatives less similar than this are ignored.
        neg_weight: weight of the negative part (the paper tunes 1-1000 with the number of negatives).

    Raises:
        DataError: the shapes do not fit.

    Examples:
        >>> pos, neg = torch.tensor([0.9]), torch.tensor([[0.1, 0.6]])
        >>> round(float(cosine_contrastive(pos, neg)), 4)
        0.2
    """
    _check(pos, neg, (2,))
    return (1 - pos).mean() + neg_weight * F.relu(neg - margin).mean()


def sampled_softmax(
    pos: Tensor,
    neg: Tensor,
    *,
    log_q_pos: Tensor | None = None,
    log_q_neg: Tensor | None = None,
    mask: Tensor | None = None,
    tau: float = 1.0,
) -> Tensor:
    """Cross-entropy of the positive among itself and the negatives, with optional logQ correction.

    ``-log exp(s_p) / (exp(s_p) + sum_j exp(s_j))`` with ``s = score / tau - log q`` (Bengio & Senecal 2008; Yi et al.,
    RecSys 2019 for two towers).

    Data: any sampler with known probabilities.
    Relations: :func:`bpr` is the case of one uniform negative; :func:`palate.losses.contrastive.info_nce` takes vectors
    and the batch as negatives.

    Args:
        pos: scores of observed items [B].
        neg: scores of sampled items [B, n].
        log_q_pos: log probability that the sampler draws the positive [B]; give it when positives also serve as
            negatives (in-batch), leave it out when the positive is in the set by construction.
        log_q_neg: log probability of each negative [B, n] or [n], up to a constant; None means uniform.
        mask: bool [B, n], True where a negative counts; use it to drop accidental positives.
        tau: temperature.

    Raises:
        DataError: the shapes do not fit.
        ConfigError: the temperature is not positive.

    Examples:
        >>> pos, neg = torch.tensor([2.0]), torch.tensor([[0.0, 1.0]])
        >>> round(float(sampled_softmax(pos, neg)), 4)
        0.4076
    """
    _check(pos, neg, (2,))
    if tau <= 0:
        raise ConfigError(f"a temperature must be positive, got {tau}", key="tau")
    positive, negative = pos / tau, neg / tau
    if log_q_pos is not None:
        positive = positive - log_q_pos
    if log_q_neg is not None:
        negative = negative - log_q_neg
    if mask is not None:
        negative = negative.masked_fill(~mask, -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], negative], dim=1), dim=1) - positive).mean()


def _check(pos: Tensor, neg: Tensor, dims: tuple[int, ...]) -> None:
    if pos.ndim != 1 or neg.ndim not in dims or len(neg) != len(pos):
        raise DataError(f"scores of positives {tuple(pos.shape)} do not fit those of negatives {tuple(neg.shape)}")


def _gap(pos: Tensor, neg: Tensor) -> Tensor:
    _check(pos, neg, (1, 2))
    return (pos if neg.ndim == 1 else pos[:, None]) - neg


def _mean(value: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return value.mean()
    each = value if value.ndim == 1 else value.mean(1)
    return (each * weight).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
