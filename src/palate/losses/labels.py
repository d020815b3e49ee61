"""Objectives on known labels of entities, some of which have none.

| loss | labels | needs |
|---|---|---|
| :func:`share_cross_entropy` | one of several, or a few that share | one softmax an attribute |
| :func:`batch_topics` | any number of many | batches in which the topics vary |
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import DataError


def share_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean of ``-sum_k t_k log softmax(logits)_k``, ``t`` equal shares of an entity's labels.

    Data: entities with one label (plain cross-entropy) or a few.
    Relations: labels compete, unlike those of :func:`batch_topics`.

    Args:
        logits: [B, k].
        truth: bool [B, k]; rows without any label do not count.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> truth = torch.tensor([[True, True, False], [False, False, False]])  # the second row has no label
        >>> round(float(share_cross_entropy(torch.zeros(2, 3), truth)), 4)  # ln 3
        1.0986
    """
    _check(logits, truth)
    size = truth.sum(1)
    each = -torch.where(truth, F.log_softmax(logits, 1), 0).sum(1) / size.clamp(min=1)
    return each.sum() / (size > 0).sum().clamp(min=1)


def batch_topics(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy over the topics that any row of the batch has (NewsEmbed, Liu et al., KDD 2021).

    Data: entities with any number of many topics; topics that the batch lacks are left out, so that rare topics are not
    trained to be absent at every step.
    Relations: see :func:`share_cross_entropy`.

    Args:
        logits: [B, k].
        truth: bool [B, k]; rows without any topic do not count.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> truth = torch.tensor([[True, False, False], [False, True, False]])  # no row has the third topic
        >>> round(float(batch_topics(torch.zeros(2, 3), truth)), 4)  # ln 2
        0.6931
    """
    _check(logits, truth)
    known, present = truth.any(1), truth.any(0)
    logits, truth = logits[known][:, present], truth[known][:, present]
    total = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="sum")
    return total / max(logits.numel(), 1)


def _check(logits: Tensor, truth: Tensor) -> None:
    if logits.ndim != 2 or logits.shape != truth.shape:
        raise DataError(f"logits of shape {tuple(logits.shape)} do not fit labels of {tuple(truth.shape)}")
