"""Losses over the words of a target: likelihood, focal, and soft targets."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.text_generation.words import PAD, UNKNOWN


def scored_words(target: Tensor) -> Tensor:
    """Bool: words that count; padding, and words that can be neither generated nor copied, do not.

    Args:
        target: int64 [B, T].
    """
    return (target != PAD) & (target != UNKNOWN)


def word_log_probabilities(log_probs: Tensor, target: Tensor) -> Tensor:
    """Log-probability of each target word.

    Args:
        log_probs: [B, T, W].
        target: int64 [B, T].

    Returns:
        [B, T].
    """
    return log_probs.gather(2, target[..., None]).squeeze(2)


def likelihood_loss(log_probs: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood of the words that count.

    Args:
        log_probs: [B, T, W].
        target: int64 [B, T].
    """
    return focal_loss(log_probs, target, 0.0)


def focal_loss(log_probs: Tensor, target: Tensor, gamma: float, weight: Tensor | float = 1.0) -> Tensor:
    """Focal loss of words: sum of w (1 - p)^gamma (-log p) over the number of words that count (UniMP).

    Args:
        log_probs: [B, T, W].
        target: int64 [B, T].
        gamma: 0 is plain likelihood; more lowers the share of words that are easy already.
        weight: of each row [B], or of all.
    """
    counted = scored_words(target)
    own = word_log_probabilities(log_probs, target)
    factor = (1 - own.exp()).clamp(min=0) ** gamma if gamma else 1.0
    rows = weight[:, None] if isinstance(weight, Tensor) else weight
    return -(own * factor * rows * counted).sum() / counted.sum().clamp(min=1)


def soft_loss(log_probs: Tensor, soft: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy against distributions, averaged over the positions that count.

    Args:
        log_probs: [N, W].
        soft: target probabilities [N, W].
        counted: bool [N].
    """
    each = -(soft * torch.where(soft > 0, log_probs, 0)).sum(1)
    return (each * counted).sum() / counted.sum().clamp(min=1)
